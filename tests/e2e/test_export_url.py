"""coupon export --url: the record of a server that runs, the same bytes as from its folder;
and what it says when the server cannot give it."""

import contextlib
import http.server
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

from support import check
from support.crowd import Load
from support.server import BINARY, run

USERS = ["alice", 'quo"ted', "com,ma", "back\\slash", "=sum(1)", "7", "~" * 128]


def url_of(server):
    return "http://%s:%d" % server.address


def token_file(server):
    return os.path.join(server.data, "admin-token")


def export(server, *flags):
    return run("export", "--url", url_of(server), "--token-file", token_file(server), *flags)


def give(admin, coupon, users):
    for at in range(0, len(users), 10000):
        check.success(admin.post("/v1/coupons/%d/issues:batch" % coupon,
                                 {"userIds": users[at:at + 10000]}))


# ---- an end that was asked for ----------------------------------------------------------------

def catches(pid, number):
    with open("/proc/%d/status" % pid, encoding="ascii") as file:
        mask = next(line.split()[1] for line in file if line.startswith("SigCgt:"))
    return int(mask, 16) >> (number - 1) & 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_export_leaves_no_file(server, tmp_path, number):
    with server.admin() as admin:
        coupon = check.new_coupon(admin)["id"]
        give(admin, coupon, USERS)
    output = tmp_path / "issues.csv"
    server.process.send_signal(signal.SIGSTOP)
    try:
        process = subprocess.Popen(
            [BINARY, "export", "--url", url_of(server), "--token-file", token_file(server),
             "--output", str(output)], stderr=subprocess.PIPE, text=True)
        while not catches(process.pid, number):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
    finally:
        server.process.send_signal(signal.SIGCONT)
    stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 1 and "signal" in stderr
    assert not output.exists()


# ---- a server that gives it -----------------------------------------------------------------


@pytest.mark.embedded("compared with coupon export --data")
@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_server_and_folder_give_the_same_bytes(server, tmp_path, form):
    with server.admin() as admin:
        for users in (USERS, [], ["u%d" % i for i in range(2001)], ["v%d" % i for i in range(1000)]):
            coupon = check.new_coupon(admin, total=None)["id"]
            if users:
                give(admin, coupon, users)
        check.coupon(admin.patch("/v1/coupons/%d" % coupon, {"archived": True}))
    whole = export(server, "--format", form)
    assert whole.returncode == 0 and "event=exported issues=3008" in whole.stderr, whole.stderr
    output = tmp_path / "one"
    one = export(server, "--format", form, "--coupon", "3", "--output", output)
    assert one.returncode == 0 and one.stdout == "" and "issues=2001" in one.stderr
    server.stop()
    folder = run("export", "--data", server.data, "--format", form)
    assert folder.returncode == 0
    assert whole.stdout == folder.stdout
    folder = run("export", "--data", server.data, "--format", form, "--coupon", "3")
    assert output.read_text() == folder.stdout


@pytest.mark.embedded("compared with coupon export --data")
def test_more_coupons_than_a_page_has(server):
    with server.admin() as admin:
        for i in range(1003):
            coupon = check.new_coupon(admin)["id"]
            if i % 250 == 0 or i > 1000:
                check.issued(admin.claim(coupon, "user-%d" % i))
    told = export(server)
    assert told.returncode == 0, told.stderr
    server.stop()
    assert run("export", "--data", server.data).stdout == told.stdout
    assert len(told.stdout.splitlines()) == 1 + 7


def test_an_empty_server_gives_the_header_alone(server):
    done = export(server)
    assert done.returncode == 0 and done.stdout == "coupon_id,rank,user_id,issued_at\n"
    done = export(server, "--format", "ndjson")
    assert done.returncode == 0 and done.stdout == ""


def test_claims_may_go_on_meanwhile(server, admin, scaled):
    """What is written is a beginning of the record, and not shorter than what was told before."""
    total = scaled(4000)
    coupon = check.new_coupon(admin, total=total)["id"]
    give(admin, coupon, ["first-%d" % i for i in range(1000)])
    load = Load(server.address, [(coupon, "c%d" % i, None) for i in range(total)], 8).start()
    exports = []
    while len(load.told) < total // 2:
        before = check.success(admin.get("/v1/coupons/%d" % coupon))["issuedQuantity"]
        done = export(server, "--format", "ndjson")
        assert done.returncode == 0, done.stderr
        exports.append((before, done.stdout))
    load.join()
    final = export(server, "--format", "ndjson").stdout
    for before, text in exports:
        assert final.startswith(text)
        assert text.count("\n") >= before
    won = {one.body["rank"]: one.body["userId"] for one in load.won()}
    lines = [json.loads(line) for line in final.splitlines()]
    assert [one["rank"] for one in lines] == list(range(1, total + 1))
    for one in lines:
        assert won.get(one["rank"], one["userId"]) == one["userId"]


# ---- what is refused ------------------------------------------------------------------------


def assert_failed(done, *words):
    assert done.returncode == 1, done
    for word in words:
        assert word in done.stderr, done.stderr


def test_wrong_options_are_told(server, tmp_path):
    url = url_of(server)
    done = run("export", "--url", url)
    assert done.returncode == 2 and "--token-file" in done.stderr
    for wrong in ("ftp://127.0.0.1", "127.0.0.1:80", "http://", "http://a:b@127.0.0.1",
                  url + "?x=1", url + "/#a", "nonsense", "file:///etc/passwd", "/"):
        done = run("export", "--url", wrong, "--token-file", token_file(server))
        assert_failed(done, "--url")
        assert done.stdout == ""
    for text, word in (("", "holds no token"), ("short", "16 to 256"), ("a b c", "a name and")):
        path = tmp_path / "token"
        path.write_text(text)
        assert_failed(run("export", "--url", url, "--token-file", path), word, str(path))
    assert_failed(run("export", "--url", url, "--token-file", tmp_path / "none"), "No such file")
    assert "--url" in run("export", "--help").stdout


def test_credentials_that_may_not_are_told(new_server, tmp_path):
    gateway = tmp_path / "gateway"
    gateway.write_text("shop 0123456789abcdef-gateway\n")
    server = new_server("--claim-auth", "token", "--claim-token-file", gateway).start()
    output = tmp_path / "out"
    done = run("export", "--url", url_of(server), "--token-file", gateway, "--output", output)
    assert_failed(done, "may not read the record", "admin's")
    wrong = tmp_path / "wrong"
    wrong.write_text("# a note\nann 0123456789abcdef-unknown\n")
    done = run("export", "--url", url_of(server), "--token-file", wrong, "--output", output)
    assert_failed(done, "does not know the token", str(wrong))
    assert "0123456789abcdef" not in done.stderr, "a secret is told"
    assert not output.exists()
    right = tmp_path / "right"
    right.write_text("# the first counts\n\nann %s\nbob 0123456789abcdef-unknown\n" % server.token)
    assert run("export", "--url", url_of(server), "--token-file", right).returncode == 0


def test_a_coupon_that_is_not_there_is_told(server, tmp_path):
    output = tmp_path / "out"
    done = export(server, "--coupon", "9", "--output", output)
    assert_failed(done, "there is no coupon 9 on http://127.0.0.1")
    assert not output.exists()


def test_an_existing_file_is_left(server, tmp_path):
    output = tmp_path / "out"
    output.write_text("precious")
    assert_failed(export(server, "--output", output), "File exists")
    assert output.read_text() == "precious"


def test_no_server_is_told(server, tmp_path):
    url, token = url_of(server), token_file(server)
    server.stop()
    assert_failed(run("export", "--url", url, "--token-file", token), "no answer from", "running")


# ---- a server of the test's own, that misbehaves ----------------------------------------------


class Acting(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """A client that goes away in the middle is no news."""


@contextlib.contextmanager
def acting(answers, tls=None):
    """A server that gives these answers in turn, (status, fields, body), the last again and
    again; yields its URL and the list of what it was asked."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            asked.append((self.path, self.headers["Authorization"]))
            status, fields, body = answers[min(len(asked), len(answers)) - 1]
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in fields.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = Acting(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield "%s://127.0.0.1:%d" % ("https" if tls else "http", server.server_address[1]), asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def token(tmp_path):
    path = tmp_path / "token"
    path.write_text("ann 0123456789abcdef\n")
    return path


def coupons(*issued):
    return {"coupons": [{"id": i + 1, "issuedQuantity": n} for i, n in enumerate(issued)]}


def issue(rank, **more):
    return {"issueId": "1-%d" % rank, "couponId": 1, "userId": "u%d" % rank, "rank": rank,
            "issuedAt": "2026-01-02T03:04:05.000006Z", **more}


def issues(*all_issues):
    return {"issues": list(all_issues), "next": len(all_issues)}


BUSY = (503, {"Retry-After": "1"}, {"code": "overloaded"})


def test_a_server_that_is_busy_is_asked_again(token):
    with acting([BUSY, (200, {}, coupons(2)), BUSY, BUSY, (200, {}, issues(issue(1), issue(2)))]) as (
            url, asked):
        done = run("export", "--url", url + "/", "--token-file", token)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ("coupon_id,rank,user_id,issued_at\n"
                           '1,1,"u1",2026-01-02T03:04:05.000006Z\n'
                           '1,2,"u2",2026-01-02T03:04:05.000006Z\n')
    assert done.stderr.count("event=waiting-for-server") == 3
    assert [path for path, _ in asked] == ["/v1/coupons?limit=500"] * 2 + [
        "/v1/coupons/1/issues?after=0&limit=2"] * 3
    assert {bearer for _, bearer in asked} == {"Bearer 0123456789abcdef"}


def test_a_server_that_stays_busy_is_told(token, tmp_path):
    output = tmp_path / "out"
    with acting([(200, {}, coupons(1)), BUSY]) as (url, asked):
        done = run("export", "--url", url, "--token-file", token, "--output", output)
    assert_failed(done, "503 overloaded", "try later")
    assert len(asked) == 1 + 5
    assert not output.exists(), "half a record is left"


def test_a_signal_ends_the_waiting_for_a_server_that_is_busy(token):
    with acting([(503, {"Retry-After": "30"}, {"code": "overloaded"})]) as (url, asked):
        process = subprocess.Popen([BINARY, "export", "--url", url, "--token-file", str(token)],
                                   stderr=subprocess.PIPE, text=True)
        while "event=waiting-for-server" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        stderr = process.communicate(timeout=60)[1]  # five answers would take two minutes
    assert process.returncode == 1 and "signal" in stderr
    assert len(asked) == 1


def test_a_failure_half_way_is_told_on_standard_output_too(token):
    answers = [(200, {}, coupons(1, 1)), (200, {}, issues(issue(1))), (500, {}, b"oops")]
    with acting(answers) as (url, _):
        done = run("export", "--url", url, "--token-file", token)
    assert_failed(done, "answers 500", "what was written is not the whole record")


@pytest.mark.parametrize("answers, word", [
    ([(404, {}, b"<html>")], "answers 404"),
    ([(404, {}, {"code": "coupon-not-found"})], "no list of coupons"),
    ([(301, {"Location": "http://127.0.0.1:1/"}, b"")], "answers 301"),
    ([(200, {}, b"<html>")], "no JSON object"),
    ([(200, {}, b"")], "no JSON object"),
    ([(200, {}, b"[]")], "no JSON object"),
    ([(200, {}, b'{"coupons":[],"coupons":[]}')], "no JSON object"),
    ([(200, {}, b"{}")], "no list of coupons"),
    ([(200, {}, {"coupons": [{"id": 1}]})], "a coupon that cannot be"),
    ([(200, {}, {"coupons": [{"id": 0, "issuedQuantity": 0}]})], "a coupon that cannot be"),
    ([(200, {}, {"coupons": [{"id": 1, "issuedQuantity": -1}]})], "a coupon that cannot be"),
    ([(200, {}, {"coupons": [{"id": 1, "issuedQuantity": 2**32}]})], "a coupon that cannot be"),
    ([(200, {}, {"coupons": [{"id": 1, "issuedQuantity": 0}] * 2})], "a coupon that cannot be"),
    ([(200, {}, {"coupons": [], "next": "1"})], "no next page"),
    ([(200, {}, dict(coupons(0), next="1&x"))], "no next page"),
    ([(200, {}, dict(coupons(0), next=5))], "no next page"),
    ([(200, {}, dict(coupons(0), next="1")), (200, {}, coupons(0))], "a coupon that cannot be"),
    ([(200, {}, coupons(1)), (404, {}, {"code": "coupon-not-found"})], "the coupon is gone"),
    ([(200, {}, coupons(2)), (200, {}, issues(issue(1)))], "not as many issues"),
    ([(200, {}, coupons(1)), (200, {}, issues(issue(1), issue(2)))], "not as many issues"),
    ([(200, {}, coupons(1)), (200, {}, issues(issue(2)))], "an issue that cannot be"),
    ([(200, {}, coupons(1)), (200, {}, issues(issue(1, couponId=2)))], "an issue that cannot be"),
    ([(200, {}, coupons(1)), (200, {}, issues(issue(1, userId="a b")))], "an issue that cannot be"),
    ([(200, {}, coupons(1)), (200, {}, issues(issue(1, userId=7)))], "an issue that cannot be"),
    ([(200, {}, coupons(1)), (200, {}, issues(issue(1, issuedAt="now")))],
     "an issue that cannot be"),
    ([(200, {}, b" " * (17 << 20))], "more than a coupon server would"),
])
def test_answers_that_no_coupon_server_gives_are_not_believed(token, answers, word):
    with acting(answers) as (url, _):
        done = run("export", "--url", url, "--token-file", token)
    assert_failed(done, word)


def test_an_answer_that_ends_early_is_told(token):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def cut():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")

        thread = threading.Thread(target=cut)
        thread.start()
        done = run("export", "--url", "http://127.0.0.1:%d" % listener.getsockname()[1],
                   "--token-file", token)
        thread.join()
    assert_failed(done, "no answer from")


def test_proxies_of_the_environment_are_not_told_the_token(token):
    with acting([(200, {}, coupons(0))]) as (url, asked):
        done = run("export", "--url", url, "--token-file", token,
                   env={"http_proxy": "http://127.0.0.1:1", "ALL_PROXY": "http://127.0.0.1:1"})
    assert done.returncode == 0 and len(asked) == 1, done.stderr


def test_https_is_spoken_to_servers_that_are_trusted(token, tmp_path):
    key, certificate = str(tmp_path / "key"), str(tmp_path / "certificate")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", certificate,
                    "-days", "1", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with acting([(200, {}, coupons(1)), (200, {}, issues(issue(1)))], context) as (url, asked):
        refused = run("export", "--url", url, "--token-file", token)
        assert_failed(refused, "no answer from https://", "certificate")
        assert not asked, "the token was told to who knows whom"
        done = run("export", "--url", url, "--token-file", token, "--ca-file", certificate)
        assert done.returncode == 0 and done.stdout.count("\n") == 2, done
        wrong = run("export", "--url", url, "--token-file", token, "--ca-file", key)
        assert_failed(wrong, "no answer from https://", "--ca-file")
