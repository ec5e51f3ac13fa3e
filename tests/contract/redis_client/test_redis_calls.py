"""What a client does with one server: pipelining, deadlines, losses, credentials, the library,
channels. Its cluster is in test_redis_cluster.py."""

import socket

import pytest
from servers import Proxy

MANY = 10000
CALL_MS = 1000  # the client's usual deadline


def test_commands_are_answered(client):
    assert client.call("SET", "k", "v") == ("ok", "OK")
    assert client.call("GET", "k") == ("ok", "v")
    assert client.call("GET", "none") == ("ok", "nil")
    assert client("call", 0, "-", "ECHO", "x") == ("ok", "x")
    assert client.call("MGET", "k", "none") == ("ok", "v,nil")


def test_an_error_is_an_answer(client):
    client.call("SET", "k", "v")
    status, text = client.call("INCR", "k")
    assert status == "ok"
    assert text.startswith("error ERR value is not an integer")


def test_it_is_ready_and_its_name_is_known(redis, client):
    client.wait_for_event("connected")
    assert client("ready") == ("ok", "yes")
    assert "name=coupon" in redis.ask("CLIENT", "LIST")


def test_ten_thousand_calls_at_once_are_answered_in_order(redis, client):
    counts = client.many(client.send("many", 60000, MANY, 1))
    assert counts["ok"] == MANY
    assert counts["in-order"] == 1
    assert int(redis.ask("GET", "many:{0}")) == MANY


def test_more_calls_than_the_limit_are_refused_at_once(redis, new_client):
    client = new_client(redis.url(), "calls-max=100")
    counts = client.many(client.send("many", 0, 250, 1))
    assert counts["ok"] == 100
    assert counts["refused"] == 150
    assert client.many(client.send("many", 0, 100, 1))["ok"] == 100


def test_a_server_that_says_nothing_for_five_seconds_is_used_again(redis, client):
    assert client.call("SET", "k", "0") == ("ok", "OK")
    redis.hold()
    late = [client.send("call", ms, "k", "INCR", "k") for ms in (100, 300, CALL_MS)]
    assert [client.answer(tag) for tag in late] == [("ambiguous", "")] * 3
    client.wait_for_event("lost")  # it was silent for as long as a call may take
    for _ in range(4):
        assert client.call("INCR", "k", timeout_ms=CALL_MS) == ("io", "")
    redis.release()
    client.wait_for_event("connected")
    # The three that were sent were done in the end, the others never.
    redis.wait_for(lambda: redis.ask("GET", "k") == "3")
    assert client.call("INCR", "k") == ("ok", "4")


def test_a_short_deadline_alone_is_no_reason_to_give_a_connection_up(redis, client):
    assert client.call("SET", "k", "0") == ("ok", "OK")
    connection = client.call("CLIENT", "ID")
    redis.hold()
    assert client.call("INCR", "k", timeout_ms=50) == ("ambiguous", "")
    redis.release()
    assert client.call("INCR", "k") == ("ok", "2")  # and the late answer is no other call's
    assert client.call("CLIENT", "ID") == connection


def test_a_command_that_waits_at_the_server_may_take_its_time(client):
    tag = client.send("call", 10 * CALL_MS, "list", "BLPOP", "list", "2")
    assert client.answer(tag) == ("ok", "nil")
    assert not [one for one in client.events if one.startswith("lost")]


def test_calls_on_a_connection_that_is_lost_are_answered_at_once(redis, client):
    assert client.call("SET", "k", "0") == ("ok", "OK")
    redis.hold()
    tag = client.send("many", 60000, 500, 1)
    assert client("ready") == ("ok", "yes")
    redis.kill()
    counts = client.many(tag)
    assert counts["ambiguous"] + counts["io"] == 500
    assert counts["twice"] == 0
    client.wait_for_event("lost")
    assert client("ready") == ("ok", "no")


def test_after_a_kill_and_a_restart_it_works_again(redis, client):
    for number in range(1, 4):
        assert client.call_until(lambda answer: answer[0] == "ok", "INCR", "k")[0] == "ok"
        redis.kill()
        assert client.call("GET", "k", timeout_ms=100)[0] in ("io", "ambiguous")
        redis.start()
        # A call that waits is sent as soon as it is connected.
        assert client.call("GET", "k", timeout_ms=60000) == ("ok", str(number))


def test_after_a_longer_absence_it_is_connected_again_soon(redis, client):
    client.wait_for_event("connected")
    redis.kill()
    client.wait_for_event("lost")
    for _ in range(3):
        assert client.call("GET", "k", timeout_ms=CALL_MS) == ("io", "")
    redis.start()
    assert client.call("SET", "k", "v", timeout_ms=5 * CALL_MS) == ("ok", "OK")


def test_a_call_whose_deadline_has_passed_is_not_sent(redis, new_client):
    client = new_client(redis.url())
    assert client.call("SET", "k", "0") == ("ok", "OK")
    assert client("call", -1, "k", "INCR", "k") == ("io", "")
    assert redis.ask("GET", "k") == "0"


@pytest.mark.parametrize(("cut", "value"), [("cut_before", "0"), ("cut_after", "1")])
def test_a_connection_that_is_cut_leaves_the_outcome_unknown(redis, new_client, cut, value):
    with Proxy(redis.port) as proxy:
        client = new_client(redis.url().replace(str(redis.port), str(proxy.port)))
        assert client.call("SET", "k", "0") == ("ok", "OK")
        getattr(proxy, cut)(b"INCR")
        assert client.call("INCR", "k") == ("ambiguous", "")
        assert redis.ask("GET", "k") == value
        assert client.call("GET", "k", timeout_ms=60000) == ("ok", value)


def test_a_server_that_is_never_there_costs_the_deadline_and_no_more(redis, new_client):
    redis.stop()
    client = new_client(redis.url())
    assert client.wait_for_event("lost").endswith("Connection refused")
    assert client.call("GET", "k", timeout_ms=300) == ("io", "")
    assert client("masters", 300, "PING") == ("io", "0")
    assert not [one for one in client.events if one.startswith("lost")]  # told once
    redis.start()
    client.wait_for_event("connected")


def test_a_wrong_password_is_told_and_not_shown(redis, new_client):
    url = redis.url().replace("open%2Fsesame", "secret")
    client = new_client(url)
    why = client.wait_for_event("lost")
    assert "WRONGPASS" in why
    assert "secret" not in why
    assert client.call("GET", "k", timeout_ms=200) == ("io", "")


def test_a_missing_password_is_told(redis, new_client):
    client = new_client(f"redis://127.0.0.1:{redis.port}")
    assert "NOAUTH" in client.wait_for_event("lost")


def test_a_password_alone_is_the_default_users(redis, new_client):
    redis.ask("ACL", "SETUSER", "default", "reset", "on", ">only", "~*", "+@all", "&*")
    client = new_client(f"redis://:only@127.0.0.1:{redis.port}")
    assert client("call", 0, "-", "ACL", "WHOAMI") == ("ok", "default")
    redis.ask("ACL", "SETUSER", "default", "reset", "off")


def test_a_name_is_resolved_and_a_database_selected(redis, new_client):
    try:
        socket.getaddrinfo("localhost", None)
    except socket.gaierror as error:
        pytest.skip(f"NOT TESTED: names of servers; this machine does not know localhost ({error})")
    client = new_client(redis.url(3).replace("127.0.0.1", "localhost"))
    assert client.call("SET", "k", "v") == ("ok", "OK")
    assert redis.ask("GET", "k") is None
    with redis.connect() as wire:
        wire.ask("SELECT", "3")
        assert wire.ask("GET", "k") == "v"


def test_a_name_that_nobody_has_is_told(new_client):
    client = new_client("redis://no-such-host.invalid")
    assert "resolve" in client.wait_for_event("lost")
    assert client.call("GET", "k", timeout_ms=100) == ("io", "")


def test_an_url_that_is_wrong_is_refused(new_client):
    client = new_client("redis://ann:secret@h:0", opened=False)
    status, why = client("open")
    assert status == "invalid"
    assert "secret" not in why


# ---- closing ----

def test_closing_answers_every_call_once(redis, client):
    assert client.call("SET", "k", "0") == ("ok", "OK")
    redis.hold()
    tag = client.send("many", 60000, 500, 1)
    assert client("close") == ("ok", "closed")
    counts = client.many(tag)
    assert counts["ambiguous"] == 500
    assert counts["twice"] == 0
    redis.release()


def test_closing_before_it_is_connected_stops_what_waits(redis, new_client):
    redis.hold()
    client = new_client(redis.url())
    tag = client.send("many", 60000, 500, 1)
    masters = client.send("masters", 60000, "PING")
    assert client("close") == ("ok", "closed")
    assert client.many(tag)["stopped"] == 500
    assert client.answer(masters) == ("stopped", "0")
    redis.release()


def test_closing_within_a_callback_is_possible(redis, client):
    assert client.call("SET", "k", "0") == ("ok", "OK")
    redis.hold()
    ping = client.send("close-within")
    tag = client.send("many", 60000, 500, 1)
    redis.release()
    counts = client.many(tag)
    assert counts["ok"] + counts["ambiguous"] == 500
    assert client.answer(ping) == ("ok", "PONG")
    client.wait_for_event("ok closed")


# ---- LOADING, BUSY, READONLY ----

def test_calls_wait_while_the_server_loads_its_files(redis, client):
    assert client.call("SET", "k", "v") == ("ok", "OK")
    with redis.connect() as wire:
        wire.ask("DEBUG", "POPULATE", 10000)
        wire.ask("CONFIG", "SET", "key-load-delay", 100)  # microseconds
        wire.ask("CONFIG", "SET", "loading-process-events-interval-bytes", 1024)
        wire.send("DEBUG", "RELOAD")
        redis.wait_for(lambda: "LOADING" in str(error_of(redis, "GET", "k")))
        assert client.call("GET", "k", timeout_ms=60000) == ("ok", "v")
        assert wire.receive() == "OK"
        wire.ask("CONFIG", "SET", "key-load-delay", 0)


def test_a_script_that_keeps_the_server_busy_is_waited_for(redis, client):
    redis.ask("CONFIG", "SET", "busy-reply-threshold", "10")
    assert client.call("SET", "k", "v") == ("ok", "OK")
    with redis.connect() as wire:
        wire.send("EVAL", "while true do end", 0)
        redis.wait_for(lambda: "BUSY" in str(error_of(redis, "GET", "k")))
        tag = client.send("call", 60000, "k", "GET", "k")
        assert client("ready") == ("ok", "yes")
        redis.wait_for(lambda: redis.ask("SCRIPT", "KILL"))
        assert client.answer(tag) == ("ok", "v")
    redis.ask("CONFIG", "SET", "busy-reply-threshold", "5000")


def error_of(redis, *words):
    try:
        return redis.ask(*words)
    except Exception as error:
        return error


def test_a_master_that_became_a_replica_is_waited_for(redis, client):
    assert client.call("SET", "k", "v") == ("ok", "OK")
    redis.ask("REPLICAOF", "127.0.0.1", "1")
    assert client.call("SET", "k", "w", timeout_ms=300) == ("io", "")
    tag = client.send("call", 60000, "k", "SET", "k", "w")
    redis.promote()
    assert client.answer(tag) == ("ok", "OK")


# ---- a master and its replicas, without a cluster ----

@pytest.fixture
def pair(redis):
    kind = type(redis)
    with kind() as other:
        other.start()
        other.replicate(redis)
        yield redis, other


def url_of(*servers):
    first, *others = servers
    url = first.url().removesuffix("/0")
    return ",".join([url, *(f"127.0.0.1:{one.port}" for one in others)])


def test_of_several_hosts_the_master_is_used(pair, new_client):
    master, replica = pair
    client = new_client(url_of(replica, master))
    assert client.call("SET", "k", "v") == ("ok", "OK")
    status, text = client("masters", 0, "PING")
    assert (status, text) == ("ok", f"1 127.0.0.1:{master.port}=ok:PONG")


def test_a_replica_that_is_promoted_takes_the_calls(pair, new_client):
    master, replica = pair
    client = new_client(url_of(master, replica))
    assert client.call("SET", "k", "v") == ("ok", "OK")
    master.kill()
    tag = client.send("call", 60000, "k", "SET", "k", "w")
    replica.promote()
    assert client.answer(tag)[0] in ("ok", "ambiguous")
    assert client.call("SET", "k", "x", timeout_ms=60000) == ("ok", "OK")
    assert replica.ask("GET", "k") == "x"


def test_roles_that_are_exchanged_are_followed(pair, new_client):
    master, replica = pair
    client = new_client(url_of(master, replica))
    assert client.call("SET", "k", "v") == ("ok", "OK")
    replica.promote()
    master.replicate(replica)
    assert client.call("SET", "k", "w", timeout_ms=60000) == ("ok", "OK")
    assert replica.ask("GET", "k") == "w"
    master.promote()


# ---- the library ----

ADD = ("FCALL", "test_add", "1", "n", "1")


def add(client, timeout_ms=0):
    return client("call", timeout_ms, "n", *ADD)


def test_a_missing_function_is_loaded_by_the_call_that_needs_it(redis, new_client):
    client = new_client(redis.url(), "version=1")
    assert add(client) == ("ok", "1")
    redis.ask("FUNCTION", "FLUSH")
    assert [add(client) for _ in range(2)] == [("ok", "2"), ("ok", "3")]


def test_many_calls_that_miss_the_library_are_each_done_once(redis, new_client):
    client = new_client(redis.url(), "version=1")
    redis.ask("FUNCTION", "FLUSH")
    tags = [client.send("call", 0, "n", *ADD) for _ in range(200)]
    assert sorted(int(client.answer(tag)[1]) for tag in tags) == list(range(1, 201))


def test_a_function_that_the_library_does_not_have_is_an_error(redis, new_client):
    client = new_client(redis.url(), "version=1")
    status, text = client("call", 0, "n", "FCALL", "no_such", "0")
    assert (status, text) == ("ok", "error ERR Function not found")


def test_an_older_library_is_replaced_and_a_newer_one_left(redis, new_client):
    old, new = (new_client(redis.url(), f"version={version}") for version in (9, 10))
    assert old("load", 0) == ("ok", "")
    assert old("load", 0) == ("ok", "")
    assert new("load", 0) == ("ok", "")
    status, why = old("load", 0)
    assert status == "newer"
    assert "version 10" in why
    assert redis.ask("FCALL", "test_version", 0) == "10"
    assert add(old) == ("ok", "1")


def test_a_server_that_refuses_the_library_says_why(redis, new_client):
    redis.ask("FUNCTION", "LOAD", "#!lua name=other\nredis.register_function('test_add', "
              "function() return 1 end)")
    client = new_client(redis.url(), "version=1")
    status, why = client("load", 0)
    assert status == "invalid"
    assert f"127.0.0.1:{redis.port}: ERR Function test_add already exists" in why


def test_the_functions_of_this_program_are_taken(redis, new_client):
    client = new_client(redis.url(), "coupon")
    assert client("load", 0) == ("ok", "")
    assert client("load", 0) == ("ok", "")
    assert client("call", 0, "-", "FCALL_RO", "coupon_version", "0")[0] == "ok"
    assert redis.ask("FUNCTION", "LIST")[0][1] == "coupon"


# ---- channels ----

def test_messages_arrive_and_after_a_gap_it_is_told(redis, new_client):
    client = new_client(redis.url())
    assert client("subscribe", "news") == ("ok", "")
    client.wait_for_event("subscribed")
    redis.ask("PUBLISH", "news", "one")
    assert client.wait_for_event("message") == "message one"
    redis.kill()
    redis.start()
    client.wait_for_event("subscribed")
    redis.ask("PUBLISH", "news", "two")
    assert client.wait_for_event("message") == "message two"


def test_a_listening_connection_that_is_silent_is_made_anew(redis, new_client):
    client = new_client(redis.url(), "call-ms=300")
    client("subscribe", "news")
    client.wait_for_event("subscribed")
    redis.hold()
    assert client.call("GET", "k", timeout_ms=900) == ("ambiguous", "")
    assert client.call("GET", "k", timeout_ms=600) == ("io", "")
    redis.release()
    client.wait_for_event("subscribed")
    redis.ask("PUBLISH", "news", "two")
    assert client.wait_for_event("message") == "message two"


def test_a_channel_without_messages_stays(redis, new_client):
    client = new_client(redis.url(), "call-ms=100")
    client("subscribe", "news")
    client.wait_for_event("subscribed")
    # Many times as long as silence is borne without asking for a sign of life.
    assert client("call", 5000, "list", "BLPOP", "list", "1") == ("ok", "nil")
    assert "subscribed" not in client.events
    redis.ask("PUBLISH", "news", "one")
    assert client.wait_for_event("message") == "message one"
