"""What a client does with a cluster: the slot map, slots that move, masters that fail."""

KEYS = [f"key:{{{number}}}" for number in range(30)]
LONG_MS = 60000
ADD = ("FCALL", "test_add", "1")


def elsewhere(cluster, key):
    """A master that does not serve the key."""
    return next(node for node in cluster.masters() if node is not cluster.master_of(key))


def set_all(client, value):
    for key in KEYS:
        assert client.call("SET", key, value, timeout_ms=LONG_MS) == ("ok", "OK")


def test_calls_go_to_the_masters_of_their_slots(cluster, new_client):
    client = new_client(cluster.url())
    set_all(client, "v")
    served = {cluster.master_of(key).port for key in KEYS}
    assert len(served) == 3
    for key in KEYS:
        with cluster.master_of(key).connect() as wire:
            assert wire.ask("GET", key) == "v"
    assert client("ready") == ("ok", "yes")


def test_one_seed_that_is_a_replica_is_enough(cluster, new_client):
    replica = next(node for node in cluster.nodes if not node.is_master())
    client = new_client(cluster.url([replica]))
    set_all(client, "v")


def test_ten_thousand_calls_at_once_are_spread(cluster, new_client):
    client = new_client(cluster.url())
    counts = client.many(client.send("many", LONG_MS, 10000, 100))
    assert counts["ok"] == 10000


def test_every_master_is_asked_once(cluster, new_client):
    client = new_client(cluster.url())
    status, text = client("masters", LONG_MS, "PING")
    assert status == "ok"
    assert sorted(text.split()[1:]) == sorted(
        f"127.0.0.1:{node.port}=ok:PONG" for node in cluster.masters())


def test_the_library_is_put_on_every_master(cluster, new_client):
    client = new_client(cluster.url(), "version=7")
    assert client("load", LONG_MS) == ("ok", "")
    for node in cluster.masters():
        assert node.ask("FCALL", "test_version", 0) == "7"
        node.ask("FUNCTION", "FLUSH")
    for key in KEYS[:10]:
        assert client("call", LONG_MS, key, *ADD, key, 1) == ("ok", "1")


def test_a_slot_that_moved_is_found(cluster, new_client):
    client = new_client(cluster.url(), "version=7")
    key = KEYS[0]
    assert client.call("SET", key, "v", timeout_ms=LONG_MS) == ("ok", "OK")
    target = elsewhere(cluster, key)
    cluster.move_slot(key, target)
    assert client.call("GET", key) == ("ok", "v")
    assert client.call("SET", key, "w") == ("ok", "OK")
    assert target.ask("GET", key) == "w"


def test_a_slot_is_used_while_it_moves(cluster, new_client):
    client = new_client(cluster.url(), "version=7")
    key = KEYS[1]
    there, away = (f"{name}{key}" for name in ("there", "away"))
    assert client.call("SET", there, "v", timeout_ms=LONG_MS) == ("ok", "OK")
    source, target = cluster.master_of(key), elsewhere(cluster, key)
    cluster.begin_move(key, target)
    assert client.call("GET", there) == ("ok", "v")
    assert client.call("SET", away, "w") == ("ok", "OK")  # ASK
    # A function too, which the target does not have yet.
    assert client("call", LONG_MS, key, *ADD, f"sum{key}", 1) == ("ok", "1")
    # One key here and one there: TRYAGAIN, until the rest has moved.
    tag = client.send("call", LONG_MS, key, "MGET", there, away)
    assert client("ready") == ("ok", "yes")
    cluster.move_keys(key, target)
    assert client.answer(tag) == ("ok", "v,w")
    cluster.end_move(key, target)
    assert client.call("GET", there) == ("ok", "v")
    assert source is not cluster.master_of(key)


def test_a_failover_with_consent_is_followed(cluster, new_client):
    client = new_client(cluster.url())
    set_all(client, "v")
    master = cluster.master_of(KEYS[2])
    replica = cluster.replicas_of(master)[0]
    cluster.failover(replica)
    set_all(client, "w")
    assert replica.ask("GET", KEYS[2]) == "w"


def test_after_a_master_is_killed_its_replica_takes_the_calls(cluster, new_client):
    client = new_client(cluster.url())
    set_all(client, "v")
    master = cluster.master_of(KEYS[3])
    replica = cluster.replicas_of(master)[0]
    others = [key for key in KEYS if cluster.master_of(key) is not master]
    master.kill()
    assert client.call("GET", KEYS[3], timeout_ms=100)[0] in ("io", "ambiguous")
    # Until the cluster has elected it a call waits, and is not lost.
    assert client.call("SET", KEYS[3], "w", timeout_ms=LONG_MS)[0] == "ok"
    assert replica.ask("GET", KEYS[3]) == "w"
    for key in others:
        assert client.call("SET", key, "w", timeout_ms=LONG_MS) == ("ok", "OK")
    master.start()
    master.wait_for(lambda: not master.is_master())
    set_all(client, "x")


def test_a_master_that_hangs_is_replaced(cluster, new_client):
    client = new_client(cluster.url())
    set_all(client, "v")
    master = cluster.master_of(KEYS[4])
    replica = cluster.replicas_of(master)[0]
    master.hold()
    assert client.call("SET", KEYS[4], "w", timeout_ms=100) == ("ambiguous", "")
    replica.wait_for(replica.is_master)
    assert client.call_until(lambda answer: answer[0] == "ok", "SET", KEYS[4], "x",
                             timeout_ms=LONG_MS) == ("ok", "OK")
    assert replica.ask("GET", KEYS[4]) == "x"
    master.release()
    set_all(client, "y")


def test_a_cluster_that_comes_back_is_found_again(cluster, new_client):
    client = new_client(cluster.url())
    set_all(client, "v")
    cluster.kill()
    assert client.call("GET", KEYS[5], timeout_ms=300)[0] in ("io", "ambiguous")
    tag = client.send("call", LONG_MS, KEYS[5], "GET", KEYS[5])
    for node in cluster.nodes:
        node.start()
    assert client.answer(tag) == ("ok", "v")
    set_all(client, "w")


def test_messages_of_every_master_arrive(cluster, new_client):
    client = new_client(cluster.url())
    client("subscribe", "news")
    client.wait_for_event("subscribed")
    for number, node in enumerate(cluster.masters()):
        node.ask("PUBLISH", "news", f"from-{number}")
        client.wait_for_event(f"message from-{number}")


def test_closing_answers_every_call_once(cluster, new_client):
    client = new_client(cluster.url())
    set_all(client, "v")
    for node in cluster.masters():
        node.hold()
    tag = client.send("many", LONG_MS, 500, 30)
    assert client("close") == ("ok", "closed")
    for node in cluster.nodes:
        node.release()
    counts = client.many(tag)
    assert counts["ambiguous"] == 500
    assert counts["twice"] == 0
