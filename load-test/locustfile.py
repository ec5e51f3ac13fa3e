"""The crowd: users that claim one coupon, and write down what they were told.

Loaded by each worker that run.py starts (and by the master, which runs no user). Not for:
judging the answers (compare.py does). run.py tells each process what to do in LOAD_TEST_…

Every fifth claim goes down one list of user ids that all workers go down, so that the same
user asks through several connections and workers at about the same time; every tenth asks
again for somebody who holds an issue already; all others are new users.
"""

import itertools
import json
import os

from locust import between, task
from locust.contrib.fasthttp import FastHttpUser

COUPON = os.environ["LOAD_TEST_COUPON"]
RUN = os.environ["LOAD_TEST_RUN"]        # keeps this run's users apart from a former run's
WORKER = os.environ["LOAD_TEST_WORKER"]  # "master" in the master
TOLD = os.environ["LOAD_TEST_TOLD"]      # the file for this worker's record
HOLDERS_KEPT = 1000

claims = itertools.count()
shared = itertools.count()
holders = []

# A line an answer, written at once: a worker that dies has written all it was told.
record = open(TOLD, "a", buffering=1, encoding="utf-8")


def next_user():
    number = next(claims)
    if number % 5 == 0:
        return f"{RUN}-shared-{next(shared) // 2}"  # twice by each worker
    if number % 10 == 1 and holders:
        return holders[number % len(holders)]
    return f"{RUN}-{WORKER}-{number}"


def understand(response):
    """(answer, rank or None, what to say of a failure) of a response."""
    try:
        body = json.loads(response.text or "null")
        if response.status_code == 201:
            return "issued", body["rank"], body["userId"]
        if response.status_code == 202:  # admitted; whether it was issued, the record will tell
            return "admitted", None, None
        if response.status_code == 409 and body["code"] == "sold-out":
            return "sold-out", None, None
        if response.status_code == 409 and body["code"] == "already-issued":
            return "already-issued", body["issue"]["rank"], body["issue"]["userId"]
        return "failed", None, f"{response.status_code} {body['code']}"
    except (ValueError, KeyError, TypeError):
        return "failed", None, str(getattr(response, "error", None) or response.status_code)


def write_down(user, answer, rank=None, detail=None):
    line = {"user": user, "answer": answer}
    if rank is not None:
        line["rank"] = rank
    if answer == "failed":
        line["why"] = detail
    elif detail is not None and detail != user:
        line["told_user"] = detail  # compare.py takes offence
    record.write(json.dumps(line, separators=(",", ":")) + "\n")


class Claimer(FastHttpUser):
    wait_time = between(0.05, 0.15)
    connection_timeout = 10.0
    network_timeout = 10.0

    @task
    def claim(self):
        user = next_user()
        answer, rank, detail = "cut-off", None, None  # if the run ends in between
        try:
            with self.client.request("POST", f"/v1/coupons/{COUPON}/issues", name="claim: failed",
                                     json={"userId": user}, catch_response=True) as response:
                answer, rank, detail = understand(response)
                if answer == "failed":
                    response.failure(detail)
                else:
                    response.request_meta["name"] = "claim: " + answer
                    response.success()
        finally:
            write_down(user, answer, rank, detail)
        if answer == "issued" and len(holders) < HOLDERS_KEPT:
            holders.append(user)
