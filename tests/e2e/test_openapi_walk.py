"""The walk of /openapi.json: every answer it documents is had from a running server, in a
scenario here, and a server answers nothing else. The last test asks for what was not seen."""

import itertools
import json
import os
import resource
import sqlite3
import time

import pytest

from servers.cluster import DATABASE, Cluster, missing
from support import check
from support.contract import GOOD, METHODS, NEW, NO_COUPON, ORIGINAL, Contract, Walk, good_bytes
from support.crowd import Load, in_parallel
from support.server import BINARY, run
from support.wire import Client, request_bytes
from test_credentials import GATEWAY, Signer, write
from test_disk_full import fill, until

JSON = ("Content-Type", "application/json")


@pytest.fixture(scope="module")
def contract(shared_server):
    """What a running server tells."""
    with shared_server.client() as client:
        return Contract(check.success(client.get("/openapi.json")))


@pytest.fixture(scope="module")
def whole_walk(contract):
    return Walk(contract)


@pytest.fixture
def walk(whole_walk, request):
    yield whole_walk
    whole_walk.scenarios.add(request.node.originalname)


# -- on a good day ----------------------------------------------------------------------------


def test_coupons_are_made_listed_read_and_changed(walk, shared_admin):
    ask = lambda *given, **rest: walk.ask(shared_admin, *given, **rest).json()
    key = [("Idempotency-Key", "made-once")]
    made = ask("createCoupon", NEW, 201, fields=key)
    assert ask("createCoupon", NEW, 201, fields=key) == made
    ask("createCoupon", dict(NEW, id=made["id"]), 409, "coupon-exists")
    ask("createCoupon", dict(NEW, title=""), 422, "invalid-value")
    one = {"couponId": made["id"]}
    full = dict(NEW, totalQuantity=None, metadata={"a": [1]}, discountAmount=5, minAvailableAmount=9)
    ask("createCoupon", full, 201)
    ask("getCoupon", None, 200, params=one)
    ask("getCoupon", None, 404, "coupon-not-found", params={"couponId": NO_COUPON})
    page = ask("listCoupons", None, 200, params={"limit": 1})
    ask("listCoupons", None, 200, params={"limit": 500, "after": page["next"]})
    ask("listCoupons", None, 422, "invalid-value", params={"limit": 501})
    ask("changeCoupon", {"paused": True}, 200, params=one, fields=[("If-Match", '"1"')])
    ask("changeCoupon", {"paused": False}, 412, "precondition-failed", params=one,
        fields=[("If-Match", '"1"')])
    ask("changeCoupon", {"totalQuantity": 0}, 422, "invalid-value", params=one)
    ask("changeCoupon", {"paused": True}, 404, "coupon-not-found", params={"couponId": NO_COUPON})
    for change in ({"issueStart": check.moment(60)}, {"paused": False}, {"archived": True}):
        ask("changeCoupon", change, 200, params=one)
        ask("getCoupon", None, 200, params=one)
    audits = ask("listAudits", None, 200, params={"limit": 500})["audits"]
    assert {"coupon-created", "coupon-changed", "coupon-archived"} <= {a["action"] for a in audits}
    ask("listAudits", None, 200, params={"after": audits[-1]["id"]})
    ask("listAudits", None, 422, "invalid-value", params={"limit": 501})


def coupons_in_every_state(client):
    """{the verdict a new user gets: coupon's id}; of each, alice holds one if that can be."""
    made = {"not-started": check.new_coupon(client, start=1000)["id"],
            "ended": check.new_coupon(client, start=-20, end=-10)["id"]}
    for code in ("paused", "sold-out", "issued"):
        made[code] = check.new_coupon(client, total=1 if code == "sold-out" else None)["id"]
        check.issued(client.claim(made[code], "alice", "a-key"))
    check.coupon(client.patch("/v1/coupons/%d" % made["paused"], {"paused": True}))
    return made


def test_claims_have_every_verdict(walk, shared_admin):
    made = coupons_in_every_state(shared_admin)
    for number, name in enumerate(("claimCoupon", *ORIGINAL)):
        def claim(code, user, key=None):
            fields = [("Idempotency-Key", key)] if key else []
            params, value = {"couponId": made.get(code, NO_COUPON)}, {"userId": user}
            if name in ORIGINAL:
                params, value = {}, {**value, **params}
            status = {"issued": 201 if params else 200, "coupon-not-found": 404}.get(code, 409)
            walk.ask(shared_admin, name, value, status, None if code == "issued" else code,
                     params=params, fields=fields)
        for code in (*made, "coupon-not-found"):
            claim(code, number)
        claim("issued", "alice", "a-key")
        made["already-issued"] = made["issued"]
        claim("already-issued", "alice")
        del made["already-issued"]
        walk.ask(shared_admin, "getCoupon", None, 200, params={"couponId": made["sold-out"]})
        params, value = GOOD[name]
        walk.ask(shared_admin, name, dict(value, userId="a b"), 422, "invalid-value", params=params)


def test_batches_have_every_result_of_a_good_day(walk, shared_admin):
    made = coupons_in_every_state(shared_admin)
    key = [("Idempotency-Key", "a-key")]
    for coupon in made.values():
        walk.ask(shared_admin, "claimBatch", {"userIds": ["bob", 7]}, 200,
                 params={"couponId": coupon})
    again = walk.ask(shared_admin, "claimBatch", {"userIds": ["alice", "bob"]}, 200, fields=key,
                     params={"couponId": made["issued"]}).json()["results"]
    assert [one.get("replayed") for one in again] == [True, None]
    walk.ask(shared_admin, "claimBatch", {"userIds": ["a"]}, 404, "coupon-not-found",
             params={"couponId": NO_COUPON})
    walk.ask(shared_admin, "claimBatch", {"userIds": []}, 422, "invalid-value",
             params={"couponId": NO_COUPON})


def test_issues_are_read(walk, shared_admin):
    coupon = check.new_coupon(shared_admin)["id"]
    issue = check.issued(shared_admin.claim(coupon, "reader"))
    ask = lambda *given, **params: walk.ask(shared_admin, *given, params=params)
    ask("getIssue", None, 200, issueId=issue["issueId"])
    ask("getIssue", None, 404, "issue-not-found", issueId="abc")
    ask("listUserIssues", None, 200, userId="reader")
    ask("listUserIssues", None, 422, "invalid-value", userId="a%20b")
    ask("listIssues", None, 200, couponId=coupon, userId="reader")
    ask("listIssues", None, 200, couponId=coupon, after=0, limit=1000)
    ask("listIssues", None, 422, "invalid-value", couponId=coupon, limit=1001)
    ask("listIssues", None, 404, "coupon-not-found", couponId=NO_COUPON)


def test_a_claim_that_is_none_is_not_found(walk, shared_admin):
    for ticket in ("abc", "%d.1.1.0.YWxpY2U" % NO_COUPON):
        walk.ask(shared_admin, "getClaim", None, 404, "not-found", params={"ticket": ticket})


@pytest.mark.embedded("it has servers of its own, the same in every run")
def test_behind_redis_claims_wait_for_their_answer(walk):
    """No worker runs at first, so that what is admitted waits; the terms change in the record
    alone, so that one is refused; and Redis forgets another."""
    why = missing(BINARY)
    if why:
        pytest.skip("NOT TESTED: " + why)
    with Cluster(BINARY, api=1, workers=0, proxy=False) as cluster:
        cluster.start()
        with Client(cluster.address, cluster.token) as admin:
            def admitted(coupon, user):
                answer = walk.ask(admin, "claimCoupon", {"userId": user}, 202,
                                  params={"couponId": coupon}, fields=[("Prefer", "respond-async")])
                assert answer.field("Location") == answer.json()["statusUrl"]
                return {"ticket": answer.field("Location").rsplit("/", 1)[1]}

            def standing(params):
                return walk.ask(admin, "getClaim", None, 200, params=params).json()["status"]

            issued, refused, lost = (check.new_coupon(admin)["id"] for _ in range(3))
            tickets = {"issued": admitted(issued, "alice"), "refused": admitted(refused, "alice"),
                       "lost": admitted(lost, "alice")}
            assert {standing(one) for one in tickets.values()} == {"pending"}
            for name in ("issueAsync", "issueAsyncV2"):
                walk.ask(admin, name, {"userId": name, "couponId": issued}, 200)
            batch = walk.ask(admin, "claimBatch", {"userIds": ["bob"]}, 200,
                             params={"couponId": issued}).json()
            assert batch == {"results": [{"userId": "bob", "result": "pending"}]}
            cluster.sql.sql("UPDATE coupons SET paused = 1 WHERE id = %d" % refused, DATABASE)
            cluster.redis.ask("DEL", *cluster.redis.ask("KEYS", "coupon:{p%02d}:*" % lost))
            cluster.add_worker()
            for expected, ticket in tickets.items():
                until(lambda: standing(ticket) == expected, expected)
            for ticket in tickets.values():
                response = admin.call("HEAD", walk.operation("getClaim").target(**ticket))
                assert walk.note("getClaim", response, to_head=True).status == 200


def test_services_answer(walk, shared_server):
    with shared_server.client() as client:
        for name, operation in walk.contract.operations.items():
            if operation.node["tags"] == ["service"]:
                walk.ask(client, name, None, 200)


def test_whatever_get_answers_head_answers_too(walk, shared_admin):
    coupon = check.new_coupon(shared_admin)["id"]
    issue = check.issued(shared_admin.claim(coupon, "alice"))
    for name, operation in walk.contract.operations.items():
        if operation.method == "GET" and name != "getClaim":
            known = {"couponId": coupon, "issueId": issue["issueId"], "userId": "alice"}
            params = {key: known[key] for key in GOOD[name][0]}
            response = shared_admin.call("HEAD", operation.target(**params))
            assert response.status == 200
            walk.note(name, response, to_head=True)


def test_what_is_malformed_is_refused_by_every_call(walk, shared_server, shared_admin):
    for name, operation in walk.contract.operations.items():
        params, value = GOOD[name]
        if operation.may("malformed-request"):
            body = b"{" if value is not None else None
            params = params if value is not None else {**params, "x": 1}
            walk.ask(shared_admin, name, None, 400, "malformed-request", params=params, body=body)
        with shared_server.connect() as connection:
            connection.send(good_bytes(operation, "x", [("Bad Name", "x")]))
            assert walk.note(name, connection.read()).code == "malformed-http"


def test_what_is_too_large_or_expects_too_much_is_refused_by_every_call(walk, shared_server):
    token = shared_server.token
    for name, operation in walk.contract.operations.items():
        most = operation.body["x-body-bytes-max"] if operation.body else 0
        for fields, body, code in [
                ([], b" " * (most + 1), "body-too-large"),
                ([("Expect", "200-ok")], None, "expectation-failed"),
                ([("X", "x" * 8192)], None, "head-too-large"),
                ([("X", "x")] * 65, None, "head-too-large")]:
            with shared_server.connect() as connection:
                connection.send_what_it_takes(good_bytes(operation, token, fields, body))
                assert walk.note(name, connection.read()).code == code
        with shared_server.connect() as connection:
            connection.send(good_bytes(operation, token, body=b" " * most if most else None))
            assert walk.note(name, connection.read()).code != "body-too-large"


def test_another_media_type_is_refused(walk, shared_admin):
    for name, operation in walk.contract.operations.items():
        params, value = GOOD[name]
        if value is not None:
            walk.ask(shared_admin, name, value, 415, "unsupported-media-type", params=params,
                     media_type="text/plain")


def test_who_is_too_slow_is_told_by_every_call(walk, shared_server):
    operations = list(walk.contract.operations.values())

    def dawdle(index):
        """A body that is not whole, of calls that take none a head."""
        data = good_bytes(operations[index], shared_server.token)
        with shared_server.connect() as connection:
            connection.send(data[:-1])
            return connection.read()

    for operation, response in zip(operations, in_parallel(len(operations), dawdle)):
        assert walk.note(operation.id, response).code == "request-timeout"


def test_other_methods_and_paths_are_refused(walk, shared_server):
    with shared_server.client() as client:
        for path in walk.contract.document["paths"]:
            known = [one for one in walk.contract.operations.values() if one.path == path]
            allowed = {one.method for one in known}
            allowed |= {"HEAD"} if "GET" in allowed else set()
            target = known[0].target(**{key: value for key, value in GOOD[known[0].id][0].items()
                                        if "{%s}" % key in path})
            for method in {*map(str.upper, METHODS), "PURGE"} - allowed - {"HEAD"}:
                response = walk.note_no_operation(client.call(method, target))
                assert response.status == 405
                assert set(response.field("Allow").split(", ")) == allowed
            response = walk.note_no_operation(client.get(target + "/x/y"))
            assert response.status == 404
        walk.note_no_operation(client.get("/"))


def test_more_connections_than_allowed_are_told_by_every_call(walk, new_server):
    server = new_server("--connections", "1").start()
    with server.connect() as held:
        held.send(request_bytes("GET", "/healthz"))
        assert held.read().status == 200
        for operation in walk.contract.operations.values():
            with server.connect() as surplus:
                surplus.send_what_it_takes(good_bytes(operation, server.token))
                assert walk.note(operation.id, surplus.read()).code == "overloaded"


# -- who may ----------------------------------------------------------------------------------


def test_who_shows_no_credential_is_refused(walk, shared_server, new_server, tmp_path):
    gateways = write(tmp_path / "gateways", "web " + GATEWAY)
    strict = new_server("--claim-auth=token", "--claim-token-file", gateways).start()
    with shared_server.client() as open_client, strict.client() as client:
        for name, operation in walk.contract.operations.items():
            params, value = GOOD[name]
            if operation.may("unauthorized"):
                for token in (None, "a-wrong-token-of-nobody"):
                    walk.ask(client, name, value, 401, "unauthorized", params=params, token=token)
            if operation.node["security"] == [{"admin": []}]:
                walk.ask(open_client, name, value, 401, "unauthorized", params=params)
                walk.ask(client, name, value, 403, "forbidden", params=params, token=GATEWAY)
        walk.ask(client, "listIssues", None, 403, "forbidden", params={"couponId": 1},
                 token=GATEWAY)
        walk.ask(open_client, "listIssues", None, 401, "unauthorized", params={"couponId": 1})


def test_another_users_token_is_refused(walk, new_server, tmp_path):
    signer = Signer("HS256", tmp_path)
    server = new_server(*signer.flags()).start()
    ann, bob = signer.token("ann"), signer.token("bob")
    with server.client() as client, server.admin() as admin:
        coupon = check.new_coupon(admin)["id"]
        here = {"couponId": coupon}
        ask = lambda *given, **rest: walk.ask(client, *given, **rest)
        issue = ask("claimCoupon", {}, 201, params=here, token=ann).json()
        ask("claimCoupon", {"userId": "ann"}, 403, "forbidden", params=here, token=bob)
        for name in ORIGINAL:
            ask(name, {"userId": "ann", **here}, 403, "forbidden", token=bob)
        ask("issue", here, 200, token=bob)
        ask("getIssue", None, 403, "forbidden", params={"issueId": issue["issueId"]}, token=bob)
        ask("getClaim", None, 403, "forbidden",
            params={"ticket": "%d.1.1.0.YW5u" % coupon}, token=bob)
        ask("listUserIssues", None, 403, "forbidden", params={"userId": "ann"}, token=bob)
        ask("listIssues", None, 403, "forbidden", params={**here, "userId": "ann"}, token=bob)
        for name, operation in walk.contract.operations.items():
            if operation.node["security"] == [{"admin": []}]:
                params, value = GOOD[name]
                ask(name, value, 403, "forbidden", params=params, token=ann)


# -- when the server cannot -------------------------------------------------------------------


@pytest.mark.embedded("the file is read at the start")
def test_while_it_starts_every_call_is_told(walk, new_server, scaled):
    """A long record takes a moment to read; all requests come in one piece within it."""
    count = scaled(1000000)
    server = new_server("--threads", "1").start()
    with server.admin() as admin:
        check.new_coupon(admin, total=None)
    server.stop()
    with sqlite3.connect(os.path.join(server.data, "coupon.db")) as database:
        database.execute(
            "WITH RECURSIVE ranks(rank) AS (SELECT 1 UNION ALL SELECT rank + 1 FROM ranks WHERE"
            " rank < ?) INSERT INTO coupon_issues (coupon_id, rank_no, user_id, date_issued)"
            " SELECT id, rank, 'user-' || rank, date_created + rank / 1000 FROM ranks, coupons",
            (count,))
        database.execute("UPDATE coupons SET issued_quantity = ?", (count,))
    database.close()
    told = [one for one in walk.contract.operations.values() if one.may("starting")]
    data = b"".join(good_bytes(one, server.token) for one in told)
    for _ in range(20):  # until we come early enough, on a busy machine
        server.spawn()
        server.address = server.listening_at()
        with server.connect() as connection:
            connection.send(data)
            answers = [connection.read() for _ in told]
        if all(one.code == "starting" for one in answers):
            break
        server.stop()
    for operation, response in zip(told, answers):
        assert walk.note(operation.id, response).code == "starting"


@pytest.mark.embedded("a full disk under the data folder")
def test_on_a_full_disk_every_change_is_told(walk, new_server, small_disk):
    server = new_server(data=small_disk / "data").start()
    users = iter(range(10**9))
    with server.admin() as admin:
        coupon = check.new_coupon(admin, total=None)["id"]
        here = {"couponId": coupon}
        filler = fill(small_disk)
        asks = {
            "claimCoupon": (here, lambda: {"userId": next(users)}),
            "createCoupon": ({}, lambda: NEW),
            "changeCoupon": (here, lambda: {"title": "t"}),
            "getReadiness": ({}, lambda: None),
            **{name: ({}, lambda: {"userId": next(users), **here}) for name in ORIGINAL},
        }
        for name, (params, value) in asks.items():
            until(lambda: walk.ask(admin, name, value(), params=params).code ==
                  "storage-unavailable", name)
        until(lambda: walk.ask(admin, "claimBatch", {"userIds": [next(users)]}, 200, params=here)
              .json()["results"][0]["result"] == "storage-unavailable", "a batch")
        os.unlink(filler)


@pytest.mark.embedded("a write to the file fails")
def test_after_a_write_of_unknown_outcome_every_call_is_told(walk, new_server):
    """Requests begun before the drain and finished after the write that failed, which the
    process's limit on file sizes makes; the first byte of none is five seconds old by then."""
    server = new_server("--threads", "1", under=["env", "--ignore-signal=XFSZ"]).start()
    with server.admin() as admin:
        coupon = check.new_coupon(admin)["id"]
    operations = [one for one in walk.contract.operations.values()
                  if one.may("outcome-unknown") or one.may("storage-unavailable")]
    operations.append(walk.operation("claimBatch"))
    operations.sort(key=lambda one: one.id != "claimCoupon")  # the write that fails comes first
    begun = {}
    for operation in operations:
        params = dict(GOOD[operation.id][0])
        if operation.id in ("claimCoupon", "claimBatch"):
            params["couponId"] = coupon
        begun[operation.id] = good_bytes(operation, server.token, params=params)
    connections = {name: server.connect() for name in begun}
    for name, connection in connections.items():
        connection.send(begun[name][:-1])
    with server.client() as client:
        check.success(client.get("/healthz"))
        server.terminate()
        server.wait_event("draining")
    size = os.path.getsize(os.path.join(server.data, "coupon.db-wal"))
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size, size))
    for name, connection in connections.items():
        connection.send(begun[name][-1:])
        response = walk.note(name, connection.read())
        if name == "claimBatch":
            assert [one["result"] for one in response.json()["results"]] == ["outcome-unknown"]
        elif walk.operation(name).may("outcome-unknown"):
            assert response.code == "outcome-unknown"
        else:
            assert response.code == "storage-unavailable"
        connection.close()
    assert server.wait() == 3


def test_a_batch_whose_coupon_is_archived_midway_says_so(walk, new_server):
    server = new_server("--threads", "1").start()
    with server.admin() as admin:
        pauses_s = itertools.cycle(step / 1000 for step in range(0, 100, 2))

        def archived_midway():
            """Archived that much later than the batch was whole: how long it takes, and how
            long a change does, is another matter on every machine and in every mode."""
            coupon = check.new_coupon(admin, total=None)["id"]
            check.issued(admin.claim(coupon, "first"))  # known to Redis from then on
            value = {"userIds": ["user-%d" % i for i in range(10000)]}
            data = request_bytes("POST", "/v1/coupons/%d/issues:batch" % coupon,
                                 json.dumps(value).encode(),
                                 [JSON, ("Authorization", "Bearer " + server.token)])
            with server.connect() as connection:
                connection.send(data[:-1])
                check.success(admin.get("/healthz"))
                connection.send(data[-1:])
                time.sleep(next(pauses_s))
                walk.ask(admin, "changeCoupon", {"archived": True}, 200,
                         params={"couponId": coupon})
                response = walk.note("claimBatch", connection.read())
            return b'"result":"coupon-not-found"' in response.body
        until(archived_midway, "never in the middle of a batch")


def test_a_batch_that_meets_a_full_queue_midway_says_so(walk, new_server):
    server = new_server("--queue", "1").start()
    with server.admin() as admin:
        coupon = check.new_coupon(admin, total=None)["id"]
        numbers = iter(range(10**9))
        load = Load(server.address, ((coupon, "single-%d" % i, None) for i in numbers), 8).start()

        def cut_short():
            value = {"userIds": ["user-%d" % i for i in range(10000)]}
            response = walk.ask(admin, "claimBatch", value, params={"couponId": coupon})
            return response.status == 200 and b'"result":"overloaded"' in response.body

        try:
            until(cut_short, "the queue was never full in the middle of a batch")
        finally:
            load.end()
    assert {one.code for one in load.told} == {None, "overloaded"}


@pytest.mark.embedded("coupon import --data")
def test_an_import_leaves_its_audit(walk, new_server, tmp_path):
    server = new_server().start()
    with server.admin() as admin:
        coupon = check.new_coupon(admin)["id"]
    server.stop()
    (tmp_path / "users.csv").write_text("userId\nalice\n", encoding="ascii")
    done = run("import", "--data", server.data, "--coupon", coupon, tmp_path / "users.csv")
    assert done.returncode == 0, done.stderr
    server.start()
    with server.admin() as admin:
        walk.ask(admin, "listAudits", None, 200)


# -- the end of the walk ----------------------------------------------------------------------


@pytest.mark.embedded("needs all scenarios, also those of the file")
def test_all_that_is_documented_was_seen_and_nothing_else(walk):
    scenarios = {name for name, one in globals().items()
                 if name.startswith("test_") and "walk" in one.__code__.co_varnames}
    missing = scenarios - walk.scenarios - {"test_all_that_is_documented_was_seen_and_nothing_else"}
    if missing:
        pytest.skip("NOT TESTED: the walk as a whole, without " + ", ".join(sorted(missing)))
    assert walk.documented_answers() - walk.answers == set()
    assert walk.answers - walk.documented_answers() == set()
    assert walk.documented_headers() == walk.headers
    assert walk.documented_features() == walk.features
