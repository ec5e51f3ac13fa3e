"""Nothing that a server, a worker or a command says or writes has a secret in it: tokens, keys and
passwords that it was given, and those that a client presents, right or wrong.

Every secret of a test is easily recognized, and words that are no secrets show that the test would
have seen it: a coupon's title in the answers, an operator's name in the log."""

import base64
import hashlib
import hmac
import json
import os
import signal
import time
import urllib.parse
from pathlib import Path

import pytest

import processes
from conftest import new_database, nodes
from support import check
from support.server import BINARY, run
from support.wire import Client, Closed

TITLE = "canary-of-the-answers"
OPERATOR = "canary-of-the-log"
TOKEN = "Needle-of-the-operators-token"
GATEWAY = "Needle-of-the-gateways-token"
KEY = "Needle-of-the-key-that-signs-tokens-of-claimers"
PRESENTED = "Needle-that-a-client-presents"
PASSWORD = "Needle-of-the-password"
NEEDLE = b"Needle-"
OF_SERVERS = (b"open/sesame", b"open%2Fsesame")  # of the databases' users: tests/servers


def untold(*texts, but=()):
    """None of them has a secret in it."""
    for text in texts:
        text = text if isinstance(text, bytes) else text.encode()
        for secret in (NEEDLE, *OF_SERVERS, base64.b64encode(b"ann:" + NEEDLE)[:16], *but):
            assert secret not in text, text[max(0, text.find(secret) - 200):][:500]


def write(path, *lines):
    aside = Path(f"{path}.aside")
    aside.touch(mode=0o600)
    aside.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    aside.rename(path)
    return path


def files_with_secrets(folder):
    """Those that others than their owner may read are a failure."""
    found = []
    for path in Path(folder).rglob("*"):
        if path.is_file() and NEEDLE in path.read_bytes():
            assert path.stat().st_mode & 0o077 == 0, path
            found.append(path.name)
    return found


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(claims, key=KEY, algorithm="HS256"):
    data = f"{encode(json.dumps({'alg': algorithm}).encode())}.{encode(json.dumps(claims).encode())}"
    return f"{data}.{encode(hmac.new(key.encode(), data.encode(), hashlib.sha256).digest())}"


# ---- what is asked of a server --------------------------------------------------------------------

def wrong_credentials():
    """Values of Authorization that are presented."""
    now = int(time.time())
    tokens = [PRESENTED, TOKEN[:-1], TOKEN + "x", signed({"sub": PRESENTED, "exp": now - 600}),
              signed({"sub": PRESENTED, "exp": now + 600}, key=PRESENTED),
              signed({"sub": PRESENTED + "\x7f", "exp": now + 600}),
              signed({"sub": PRESENTED, "exp": now + 600}, algorithm="none"),
              f"{encode(PRESENTED.encode())}.{encode(PRESENTED.encode())}.", PRESENTED * 150]
    basic = base64.b64encode(b"ann:" + PRESENTED.encode()).decode()
    return [*(f"Bearer {token}" for token in tokens), f"Basic {basic}", f"Basic {PRESENTED}",
            PRESENTED, f"Bearer {PRESENTED} {PRESENTED}", f"Bearer\t{PRESENTED}", f"Bearer {PRESENTED}\x01"]


def ask_everything(address, token, coupon):
    """The bytes of every kind of answer, to right and wrong credentials."""
    told = b""

    def ask(method, target, value=None, authorization=None):
        nonlocal told
        fields = [("Authorization", authorization)] if authorization else []
        with Client(address) as client:
            try:
                response = client.call(method, target, value, fields=fields)
                told += repr(response).encode() + response.body
            except Closed:
                pass  # refused without an answer

    user = {"userId": "ann", "couponId": coupon}
    calls = [("GET", f"/v1/coupons/{coupon}", None), ("GET", "/v1/coupons", None),
             ("GET", "/v1/audit", None), ("GET", "/v1/users/ann/issues", None),
             ("GET", f"/v1/coupons/{coupon}/issues?after=0", None),
             ("POST", f"/v1/coupons/{coupon}/issues", {"userId": "ann"}),
             ("POST", "/v1/issue", user), ("POST", "/v1/coupons", {"title": 1}),
             ("PATCH", f"/v1/coupons/{coupon}", {"totalQuantity": -1}),
             ("GET", "/metrics", None), ("GET", "/readyz", None), ("GET", "/healthz", None),
             ("GET", "/openapi.json", None), ("DELETE", "/nowhere", None)]
    for method, target, value in calls:
        for authorization in (None, f"Bearer {token}", f"Bearer {PRESENTED}"):
            ask(method, target, value, authorization)
    for authorization in wrong_credentials():
        ask("GET", "/v1/coupons", None, authorization)
        ask("POST", f"/v1/coupons/{coupon}/issues", {"userId": "bob"}, authorization)
    return told


def reload(server, event):
    """SIGHUP, until the server has told what came of it."""
    seen = len(server.events(event))
    server.process.send_signal(signal.SIGHUP)
    with server._changed:
        assert server._changed.wait_for(lambda: len(server.events(event)) > seen, 30), server.log()


def bad_files():
    """Lines of a file of tokens that cannot be taken, with a secret in each."""
    yield [f"{TOKEN} {TOKEN} {TOKEN}"]
    yield [f"{TOKEN * 3} {TOKEN}"]  # a name that is too long
    yield [f"name {TOKEN * 20}"]    # a token that is
    yield [f"name {TOKEN}", f"other {TOKEN}"]
    yield [f"name {TOKEN}\x02"]
    yield [f"n{number} {TOKEN}-{number}" for number in range(65)]
    yield [f"# {TOKEN}"]
    yield [TOKEN * 3000]


@pytest.mark.parametrize("auth", ["none", "token", "jwt"])
def test_a_server_tells_no_secret(new_server, tmp_path, auth):
    admins = write(tmp_path / "admins", f"{OPERATOR} {TOKEN}")
    gateways = write(tmp_path / "gateways", f"shop {GATEWAY}")
    key = write(tmp_path / "key", KEY)
    flags = {"none": [], "token": ["--claim-token-file", gateways],
             "jwt": ["--jwt-algorithm=HS256", "--jwt-key-file", key]}[auth]
    server = new_server("--admin-token-file", admins, "--claim-auth", auth, *flags).start()
    with Client(server.address, TOKEN) as admin:
        coupon = check.new_coupon(admin, title=TITLE)["id"]
        right = {"none": None, "token": GATEWAY,
                 "jwt": signed({"sub": "eve", "exp": int(time.time()) + 600})}[auth]
        claim = admin.post(f"/v1/coupons/{coupon}/issues", {"userId": "eve"}, token=right or TOKEN)
        check.success(claim, 201)
    told = ask_everything(server.address, TOKEN, coupon)
    for lines in bad_files():
        write(admins, *lines)
        reload(server, "credentials-kept")
    write(admins, f"{OPERATOR} {TOKEN}")
    for path, lines in ((gateways, [GATEWAY * 20]), (key, ["Needle-short"]),
                        (key, ["-----BEGIN " + KEY])):
        if str(path) in map(str, flags):
            write(path, *lines)
            reload(server, "credentials-kept")
            write(path, KEY if path == key else f"shop {GATEWAY}")
    reload(server, "credentials-reloaded")
    log, arguments = server.log(), processes.arguments(server.process.pid)
    server.stop()
    assert TITLE.encode() in told and OPERATOR in log and len(told) > 20000
    untold(told, log, server.log(), arguments)
    assert files_with_secrets(server.data) == []
    untold(*(path.read_bytes() for path in Path(server.data).iterdir()))


def test_the_token_that_a_server_makes_is_in_its_file_alone(new_server):
    server = new_server().start()
    token = server.token.encode()
    with server.admin() as admin:
        coupon = check.new_coupon(admin, title=TITLE)["id"]
    told = ask_everything(server.address, server.token, coupon)
    server.stop()
    untold(told, server.log(), but=(token,))
    with_it = [path for path in Path(server.data).iterdir() if token in path.read_bytes()]
    assert [(path.name, path.stat().st_mode & 0o777) for path in with_it] == [("admin-token", 0o600)]


# ---- several on a SQL server, and Redis -----------------------------------------------------------

def claim_until_it_works(node, coupon, user):
    """While servers come back. Returns the bytes of all answers."""
    told, end = b"", time.monotonic() + 60
    while True:
        with node.client() as client:
            response = client.claim(coupon, user)
        told += repr(response).encode()
        if response.status == 201:
            return told
        assert response.status in (202, 409, 503) and time.monotonic() < end, (response, node.logs())
        if response.status == 409:
            assert response.code == "already-issued", response
            return told
        time.sleep(0.1)


@nodes
def test_a_node_and_a_worker_tell_no_secret(new_node, store, redis, with_redis):
    node = new_node(store, redis if with_redis else None, token=TOKEN)
    with node.admin() as admin:
        coupon = check.new_coupon(admin, title=TITLE)["id"]
    told = claim_until_it_works(node, coupon, "ann")
    told += ask_everything(("127.0.0.1", node.port), TOKEN, coupon)
    arguments = processes.arguments(node.pid)
    node.stop_all()
    assert TITLE.encode() in told and "coupon-created" in node.logs()
    untold(told, node.logs(), arguments)


@pytest.mark.slow
@pytest.mark.parametrize("with_redis", [False, True], ids=["sql", "redis"])
def test_nor_do_they_while_servers_go_and_come(new_node, store, redis, with_redis):
    """They also find them again, whose names are looked up under the filter of system calls."""
    node = new_node(store, redis if with_redis else None, token=TOKEN)
    with node.admin() as admin:
        coupon = check.new_coupon(admin, title=TITLE)["id"]
    told = claim_until_it_works(node, coupon, "ann")
    for server in [store, redis] if with_redis else [store]:
        server.stop()
        with node.client() as client:
            told += repr(client.claim(coupon, "bob-" + server.NAME)).encode()
            told += client.get("/metrics").body + client.get("/readyz").body
        server.start()
        told += claim_until_it_works(node, coupon, "cat-" + server.NAME)
    arguments = processes.arguments(node.pid)
    node.stop_all()
    assert "coupon-created" in node.logs()
    untold(told, node.logs(), arguments)
    assert files_with_secrets(node.folder) == ["admin-token"]


def with_password(url, password):
    parts = urllib.parse.urlsplit(url)
    user = f"{parts.username}:{password}@{parts.hostname}:{parts.port}"
    return urllib.parse.urlunsplit(parts._replace(netloc=user))


def urls_that_fail():
    """Of a ledger, of Redis: nobody there, or not a URL at all."""
    for scheme, tail in (("postgresql", "/coupon"), ("mysql", "/coupon"), ("redis", "/0")):
        for url in (f"{scheme}://ann:{PASSWORD}@127.0.0.1:1{tail}",
                    f"{scheme}://ann:{PASSWORD}@127.0.0.1:99999{tail}",
                    f"{scheme}://ann:{PASSWORD}%zz@127.0.0.1{tail}",
                    f"{scheme}://ann:{PASSWORD}/{PASSWORD}@127.0.0.1{tail}",
                    f"{scheme}://ann:12/{PASSWORD}@127.0.0.1{tail}",
                    f"{scheme}://ann:p@{PASSWORD}@127.0.0.1:1{tail}",
                    f"{scheme}://ann:{PASSWORD}{tail}",
                    f"{scheme}://ann:12?{PASSWORD}=1@127.0.0.1{tail}",
                    f"{scheme}://{PASSWORD}@[127.0.0.1{tail}",
                    f"{scheme}://ann:{PASSWORD}@127.0.0.1{tail}?{PASSWORD}={PASSWORD}",
                    f"{scheme}://ann:{PASSWORD}@127.0.0.1:1 {tail}",
                    f"{scheme}:ann:{PASSWORD}@127.0.0.1{tail}",
                    f"{scheme}s://ann:{PASSWORD}@127.0.0.1{tail}"):
            yield ("redis" if scheme == "redis" else "ledger"), url


def serve_with(option, url, token):
    other = ["--ledger", "postgresql://ann@127.0.0.1:1/coupon"] if option == "redis" else []
    return ["serve", "--listen=127.0.0.1:0", "--admin-token-file", token, f"--{option}={url}", *other]


def others_with(option, url):
    """The other commands that take such a URL, and some where it stands in the wrong place."""
    other = ["--ledger", "postgresql://ann@127.0.0.1:1/coupon"] if option == "redis" else []
    redis = [] if option == "redis" else ["--redis", "redis://127.0.0.1:1"]
    yield ["verify", f"--{option}", url, *other]
    yield ["rebuild", f"--{option}", url, *other, *redis]
    yield ["rejects", f"--{option}", url, *other, "--retry", "all"]
    yield ["serve", url]
    yield ["serve", f"--{option}r={url}"]


def fail_and_tell_no_secret(commands):
    for command in commands:
        done = run(*command)
        assert done.returncode in (1, 2) and done.stderr, (command, done)
        untold(done.stdout, done.stderr)


def test_a_start_that_fails_tells_no_password(tmp_path):
    token = write(tmp_path / "admins", f"{OPERATOR} {TOKEN}")
    fail_and_tell_no_secret(serve_with(option, url, token) for option, url in urls_that_fail())


@pytest.mark.slow
def test_no_command_that_fails_tells_a_password():
    fail_and_tell_no_secret(command for option, url in urls_that_fail()
                            for command in others_with(option, url))


@pytest.mark.parametrize("command", list(others_with("ledger", f"postgresql://ann:{PASSWORD}/x@h/db")))
def test_a_command_that_fails_tells_no_password(command):
    fail_and_tell_no_secret([command])


def test_a_password_that_is_refused_is_not_told(tmp_path, store):
    token = write(tmp_path / "admins", f"{OPERATOR} {TOKEN}")
    url = with_password(new_database(store), PASSWORD)
    for command in (["serve", "--listen=127.0.0.1:0", "--admin-token-file", token], ["verify"]):
        done = run(*command, "--ledger", url)
        assert done.returncode in (1, 2) and "coupon" in done.stderr
        untold(done.stdout, done.stderr)


def test_a_password_on_the_command_line_does_not_stay_there(new_server, tmp_path, store):
    """`ps` shows arguments to everybody on the machine; a variable only to root."""
    token = write(tmp_path / "admins", f"{OPERATOR} {TOKEN}")
    url = new_database(store)
    server = new_server()
    server._place = lambda: ["--ledger", url, "--admin-token-file", str(token)]
    server.start()
    arguments = processes.arguments(server.process.pid)
    server.stop()
    assert b"--ledger" in arguments and b"coupon:****" in arguments
    untold(arguments)
    assert os.path.basename(BINARY).encode() in arguments
