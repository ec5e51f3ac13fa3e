#!/usr/bin/python3
"""By hand: what coupon_claim costs, by users a call, next to plain commands in the same run.

    speed.py [USERS]    one line a kind: users/s through one connection, and Redis' own
                        microseconds a call and a user (INFO commandstats)

Commands are made before the clock starts and sent through one connection with many under way; the
order of the kinds changes each round, and the best round counts. Not a test: it judges nothing.
"""

import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from partition import Partition, claim_of, load_library  # noqa: E402
from servers import Redis  # noqa: E402

ROUNDS = 3
CALL_SIZES = (1, 16, 100, 1000, 2048)
END = b"+PONG\r\n"


def encode(*words):
    raw = [str(word).encode() for word in words]
    return b"*%d\r\n" % len(raw) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in raw)


def send_all(wire, data):
    """Sends commands while their answers are read; returns the seconds until the last one."""
    begin = time.perf_counter()
    sender = threading.Thread(target=wire.socket.sendall, args=(data + encode("PING"),))
    sender.start()
    tail = b""
    while not tail.endswith(END):
        part = wire.socket.recv(1 << 20)
        assert part, "Redis closed the connection"
        tail = (tail + part)[-len(END):]
    sender.join()
    return time.perf_counter() - begin


def claims_in_calls(partition, users, size):
    keys = [partition.gate, partition.meta(7), partition.holders(7), partition.queue]
    return b"".join(
        encode("FCALL", "coupon_claim", 4, *keys, partition.epoch, 7, len(some),
               *(word for user in some for word in claim_of(user)))
        for some in (users[at:at + size] for at in range(0, len(users), size)))


def kinds(partition, users):
    """{name: (commands, users a call)}"""
    made = {f"coupon_claim {size}": (claims_in_calls(partition, users, size), size)
            for size in CALL_SIZES}
    made["SADD 1"] = (b"".join(encode("SADD", "plain", user) for user in users), 1)
    made["SADD 100"] = (b"".join(encode("SADD", "plain", *users[at:at + 100])
                                 for at in range(0, len(users), 100)), 100)
    made["HSET 100"] = (b"".join(
        encode("HSET", "plain", *(word for user in users[at:at + 100] for word in (user, "v" * 40)))
        for at in range(0, len(users), 100)), 100)
    made["coupon_version"] = (encode("FCALL", "coupon_version", 0) * len(users), 1)
    made["INFO replication"] = (encode("INFO", "replication") * len(users), 1)
    return made


def usec_of_calls(wire):
    """Redis' own count of what all calls of clients cost since CONFIG RESETSTAT."""
    stats = dict(line.split(":", 1) for line in wire.ask("INFO", "commandstats").split("\r\n")
                 if ":" in line)
    for name in ("fcall", "sadd", "hset", "info"):
        text = stats.get(f"cmdstat_{name}")
        if text:
            return float(dict(pair.split("=") for pair in text.split(","))["usec"])
    return 0


def main():
    users = [f"user-{number}" for number in range(int((sys.argv[1:] or ["100000"])[0]))]
    best = {}
    with Redis(appendonly=False) as server:
        server.start()
        with server.connect() as wire:
            load_library(wire)
            partition = Partition(wire)
            made = kinds(partition, users)
            for turn in range(ROUNDS):
                names = list(made)[turn:] + list(made)[:turn]
                for name in names:
                    wire.ask("FLUSHALL")
                    partition.open()
                    partition.load()
                    wire.ask("CONFIG", "RESETSTAT")
                    seconds = send_all(wire, made[name][0])
                    best[name] = min(best.get(name, (9e9, 0)), (seconds, usec_of_calls(wire)))
    plain = best["SADD 1"][0]
    print(f"{'':<18} {'users/s':>10} {'x SADD 1':>9} {'us/call':>9} {'us/user':>9}")
    for name, (_, size) in made.items():
        seconds, usec = best[name]
        print(f"{name:<18} {len(users) / seconds:>10.0f} {plain / seconds:>9.2f} "
              f"{usec * size / len(users):>9.2f} {usec / len(users):>9.3f}")


if __name__ == "__main__":
    main()
