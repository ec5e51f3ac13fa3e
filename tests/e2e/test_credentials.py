"""Who may call: claimers' tokens and JSON Web Tokens, several admins, SIGHUP."""

import base64
import hashlib
import hmac
import json
import os
import signal
import subprocess
import threading
import time

import pytest

from support import check
from support.server import run

SECRET = b"a secret of more than thirty-two bytes"
ISSUER, AUDIENCE = "https://login.test", "coupon"
ANN, BOB, OLD = ("%s-token-of-the-admins" % name for name in ("anns", "bobs", "the-old"))
GATEWAY, SECOND = "the-gateway-s-token-1", "the-gateway-s-token-2"


# -- tokens -----------------------------------------------------------------------------------


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def raw_signature(der):
    """R and S of an ECDSA signature in DER, 32 bytes each (RFC 7518, 3.4)."""
    assert der[0] == 0x30 and der[2] == 0x02
    size = der[3]
    r = int.from_bytes(der[4:4 + size], "big")
    s = int.from_bytes(der[6 + size:], "big")
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def openssl(*arguments, data=None):
    return subprocess.run(["openssl", *map(str, arguments)], input=data, check=True,
                          capture_output=True).stdout


class Signer:
    """An algorithm with its keys: what it signs, and the file the server is given."""

    def __init__(self, algorithm, folder):
        self.algorithm = algorithm
        self.file = folder / "jwt-key"
        self.key = folder / "private.pem"
        if algorithm == "HS256":
            self.file.write_bytes(SECRET + b"\n")
            self.file.chmod(0o600)
            return
        kind = {"RS256": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
                "ES256": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"]}[algorithm]
        openssl("genpkey", "-algorithm", *kind, "-out", self.key)
        openssl("pkey", "-in", self.key, "-pubout", "-out", self.file)

    def signature(self, data):
        if self.algorithm == "HS256":
            return hmac.new(SECRET, data, hashlib.sha256).digest()
        signed = openssl("dgst", "-sha256", "-sign", self.key, data=data)
        return raw_signature(signed) if self.algorithm == "ES256" else signed

    def token(self, user, header=None, **claims):
        """Good for ten minutes; a claim given as None is left out."""
        whole = {"sub": user, "iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 600}
        whole.update(claims)
        whole = {name: value for name, value in whole.items() if value is not None}
        header = header or {"alg": self.algorithm, "typ": "JWT"}
        data = encode(json.dumps(header).encode()) + b"." + encode(json.dumps(whole).encode())
        return (data + b"." + encode(self.signature(data))).decode()

    def flags(self):
        return ["--claim-auth=jwt", "--jwt-algorithm", self.algorithm, "--jwt-key-file",
                self.file, "--jwt-issuer", ISSUER, "--jwt-audience", AUDIENCE]


@pytest.fixture(params=["HS256", "RS256", "ES256"])
def signer(request, tmp_path):
    return Signer(request.param, tmp_path)


def write(path, *lines):
    """As an operator does: aside, then moved into place."""
    aside = str(path) + ".aside"
    with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w",
              encoding="utf-8") as file:
        file.write("".join(line + "\n" for line in lines))
    os.replace(aside, path)
    return path


def reload(server, event="credentials-reloaded"):
    """SIGHUP, until the server has told what came of it."""
    seen = len(server.events(event))
    server.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 30
    with server._changed:
        while sum("event=" + event in line for line in server.lines) == seen:
            assert server._changed.wait(deadline - time.monotonic()), "\n".join(server.lines)
    return server.events(event)[-1]


# -- JSON Web Tokens --------------------------------------------------------------------------


def test_a_token_names_the_user(new_server, signer):
    server = new_server(*signer.flags()).start()
    assert not server.events("jwt-unrestricted")
    with server.admin() as admin, server.client() as client:
        coupon = check.new_coupon(admin)["id"]
        claim = "/v1/coupons/%d/issues" % coupon
        ann, bob = signer.token("ann"), signer.token("bob", aud=["shop", AUDIENCE])
        issue = check.success(client.post(claim, {}, token=ann), 201)
        assert issue["userId"] == "ann"
        check.problem(client.post(claim, {"userId": "ann"}, token=ann), 409, "already-issued")
        check.problem(client.post(claim, {"userId": "ann"}, token=bob), 403, "forbidden")
        assert client.post("/v1/issue", {"couponId": coupon}, token=bob).json() is True

        mine = "/v1/issues/" + issue["issueId"]
        assert check.success(client.get(mine, token=ann)) == issue
        check.problem(client.get(mine, token=bob), 403, "forbidden")
        assert check.success(client.get(mine, token=server.token)) == issue
        assert check.success(client.get(claim + "?userId=ann", token=ann))["issues"] == [issue]
        check.problem(client.get(claim + "?userId=ann", token=bob), 403, "forbidden")
        check.problem(client.get("/v1/coupons", token=ann), 403, "forbidden")
        assert client.get("/v1/coupons/%d" % coupon).status == 200  # anyone
        check.success(admin.claim(coupon, "carol"), 201)
        check.problem(admin.post(claim, {}), 400, "malformed-request")


def test_wrong_tokens_are_refused(new_server, signer, tmp_path):
    server = new_server(*signer.flags()).start()
    now = int(time.time())
    other = tmp_path / "other"
    other.mkdir()
    with server.admin() as admin, server.client() as client:
        claim = "/v1/coupons/%d/issues" % check.new_coupon(admin)["id"]
        good = signer.token("ann")
        head, body, signature = good.split(".")
        stranger = Signer("ES256" if signer.algorithm != "ES256" else "RS256", other)
        public = signer.file.read_bytes()
        forged = encode(b'{"alg":"HS256","typ":"JWT"}').decode() + "." + body
        mac = hmac.new(public, forged.encode(), hashlib.sha256).digest()
        wrong = [
            signer.token("ann", exp=now - 60), signer.token("ann", exp=None),
            signer.token("ann", nbf=now + 600), signer.token("ann", iss="https://evil.test"),
            signer.token("ann", iss=None), signer.token("ann", aud="shop"),
            signer.token("ann", aud=None), signer.token(None), signer.token("a user"),
            signer.token("ann", header={"alg": "none"}), head + "." + body + ".",
            signer.token("ann", header={"alg": signer.algorithm, "crit": ["exp"]}),
            encode(b'{"alg":"none"}').decode() + "." + body + ".",
            stranger.token("ann"), stranger.token("ann", header={"alg": signer.algorithm}),
            forged + "." + encode(mac).decode(), head + "." + body, good + ".x", good[:-8],
            "garbage", "x" * 6000, signer.token("ann", x="y" * 4000), GATEWAY,
        ]
        for token in wrong:
            check.problem(client.post(claim, {}, token=token), 401, "unauthorized")
            check.problem(client.get(claim + "?userId=ann", token=token), 401, "unauthorized")
        check.problem(client.post(claim, {"userId": "ann"}), 401, "unauthorized")
        check.success(client.post(claim, {}, token=good), 201)
    assert good not in server.log()


def test_a_warning_tells_that_any_issuers_tokens_are_taken(new_server, tmp_path):
    signer = Signer("HS256", tmp_path)
    server = new_server(*signer.flags()[:-2]).start()
    server.wait_event("jwt-unrestricted")


def test_a_key_can_be_rotated(new_server, tmp_path):
    (tmp_path / "new").mkdir()
    former, later = Signer("ES256", tmp_path), Signer("ES256", tmp_path / "new")
    server = new_server(*former.flags()).start()
    with server.client() as client:
        path = "/v1/issues/1-1"
        check.problem(client.get(path, token=former.token("ann")), 404, "issue-not-found")
        os.replace(later.file, former.file)
        reload(server)
        check.problem(client.get(path, token=former.token("ann")), 401, "unauthorized")
        check.problem(client.get(path, token=later.token("ann")), 404, "issue-not-found")


# -- tokens of gateways and admins ------------------------------------------------------------


def test_a_gateways_user_is_believed(new_server, tmp_path):
    file = write(tmp_path / "gateways", "# who may", "web " + GATEWAY, "app " + SECOND)
    server = new_server("--claim-auth=token", "--claim-token-file", file).start()
    with server.admin() as admin, server.client() as client:
        coupon = check.new_coupon(admin)["id"]
        for user, token in (("ann", GATEWAY), ("bob", SECOND), ("carol", server.token)):
            client.token = token
            check.issued(client.claim(coupon, user))
            assert len(check.success(client.get("/v1/coupons/%d/issues?userId=%s" %
                                                (coupon, user)))["issues"]) == 1
        client.token = None
        check.problem(client.claim(coupon, "dan"), 401, "unauthorized")
        client.token = GATEWAY + "x"
        check.problem(client.claim(coupon, "dan"), 401, "unauthorized")
        client.token = GATEWAY
        check.problem(client.get("/v1/coupons"), 403, "forbidden")


def test_admin_tokens_are_rotated_without_a_restart(new_server, tmp_path):
    file = write(tmp_path / "admins", OLD, "ann " + ANN)
    server = new_server("--admin-token-file", file).start()
    with server.client() as client:
        def statuses():
            return [client.get("/v1/coupons", token=token).status for token in (OLD, ANN, BOB)]
        assert statuses() == [200, 200, 401]
        write(file, "ann " + ANN, "bob " + BOB)
        assert statuses() == [200, 200, 401]
        reload(server)
        assert statuses() == [401, 200, 200]
        client.token = BOB
        check.new_coupon(client)
    assert server.wait_event("coupon-created")["by"] == "bob"


BAD = [["# none"], ["short"], ["ann " + ANN, "bob " + ANN], ["ann " + ANN, "bob"],
       ["ann %s more" % ANN], ["x" * 70000]]


@pytest.mark.parametrize("lines", BAD, ids=range(len(BAD)))
def test_a_bad_file_leaves_the_former_in_force(new_server, tmp_path, lines):
    file = write(tmp_path / "admins", "ann " + ANN)
    server = new_server("--admin-token-file", file).start()
    write(file, *lines)
    told = reload(server, "credentials-kept")
    assert told["level"] == "error" and str(file) in told["why"] and ANN not in server.log()
    with server.client() as client:
        check.success(client.get("/v1/coupons", token=ANN))
        os.unlink(file)
        assert "No such file" in reload(server, "credentials-kept")["why"]
        check.success(client.get("/v1/coupons", token=ANN))
        write(file, "bob " + BOB)
        reload(server)
        check.problem(client.get("/v1/coupons", token=ANN), 401, "unauthorized")
    server.stop()
    assert server.spawn().wait_event("ready")


def test_no_token_that_stays_is_refused_while_files_change_under_load(new_server, tmp_path, scaled):
    gateways, admins = tmp_path / "gateways", tmp_path / "admins"
    write(gateways, "web " + GATEWAY)
    write(admins, "ann " + ANN)
    server = new_server("--claim-auth=token", "--claim-token-file", gateways,
                        "--admin-token-file", admins, "--threads", 2).start()
    with server.client() as admin:
        admin.token = ANN
        coupon = check.new_coupon(admin, totalQuantity=None)["id"]
    stop, wrong, counts = threading.Event(), [], [0] * 6

    def crowd(number):
        with server.client() as client:
            while not stop.is_set():
                if number == 0:
                    answer = client.get("/v1/coupons", token=ANN)
                else:
                    client.token = GATEWAY
                    answer = client.claim(coupon, "%d-%d" % (number, counts[number]))
                counts[number] += 1
                if answer.status not in (200, 201):
                    wrong.append(answer)
                    return

    threads = [threading.Thread(target=crowd, args=(number,)) for number in range(len(counts))]
    for thread in threads:
        thread.start()
    for turn in range(scaled(60)):
        write(gateways, *["other-%d another-token-%04d-%02d" % (i, turn, i) for i in range(turn % 9)],
              "web " + GATEWAY)
        write(admins, "ann " + ANN, "bob %s-%d" % (BOB, turn))
        reload(server)
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong, wrong
    assert all(counts), counts


# -- the command line -------------------------------------------------------------------------

WRONG = [
    (["--claim-auth=jwt"], "--jwt-algorithm"),
    (["--claim-auth=jwt", "--jwt-algorithm=HS256"], "--jwt-key-file"),
    (["--claim-auth=jwt", "--jwt-algorithm=none", "--jwt-key-file=x"], "HS256|RS256|ES256"),
    (["--claim-auth=jwt", "--jwt-algorithm=hs256", "--jwt-key-file=x"], "HS256|RS256|ES256"),
    (["--claim-auth=token"], "--claim-token-file"),
    (["--claim-auth=token", "--claim-token-file=x", "--jwt-issuer=y"], "--jwt-issuer"),
    (["--claim-token-file=x"], "--claim-auth=token"),
    (["--claim-auth=none", "--jwt-key-file=x"], "--claim-auth=jwt"),
]


@pytest.mark.parametrize("flags, hint", WRONG, ids=lambda value: str(value)[:50])
def test_options_that_do_not_go_together_are_told(tmp_path, flags, hint):
    done = run("serve", "--data", tmp_path / "data", *flags)
    assert done.returncode == 2 and hint in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("algorithm, content", [
    ("HS256", b"too short"), ("HS256", b""), ("RS256", SECRET), ("ES256", SECRET), ("ES256", None),
    ("RS256", "ES256"), ("ES256", "RS256"), ("HS256", "RS256")])
def test_a_key_of_another_kind_is_told_at_the_start(new_server, tmp_path, algorithm, content):
    file = tmp_path / "key"
    if isinstance(content, str):
        os.replace(Signer(content, tmp_path).file, file)
    elif content is not None:
        file.write_bytes(content)
    server = new_server("--claim-auth=jwt", "--jwt-algorithm", algorithm, "--jwt-key-file",
                        file).spawn()
    assert server.wait() == 1
    assert str(file) in server.events("cannot-start")[0]["why"]
