"""The load test against a server that runs already, whose record it reads through the API."""

import os

from support import check
from support.load_test import judgement, needs_locust, run


def target(server):
    return "http://%s:%d" % server.address


def token_file(server):
    return os.path.join(server.data, "admin-token")


@needs_locust
def test_with_a_token_it_is_compared_with_the_record(tmp_path, server):
    done = run(tmp_path, "--target", target(server), "--admin-token-file", token_file(server))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Compared with the record" in done.stdout
    judged = judgement(tmp_path)
    assert judged["answers"]["issued"] == 50
    assert {"the coupon's own count", "ranks 1, 2, 3 … without gaps",
            "told as issued, and recorded so"} <= {one["what"] for one in judged["findings"]}
    assert server.running()


@needs_locust
def test_without_one_only_the_count_can_be_compared(tmp_path, server, admin):
    coupon = check.new_coupon(admin, total=50)["id"]
    done = run(tmp_path, "--target", target(server), "--coupon", str(coupon))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "its record: ranks and users" in done.stdout
    assert judgement(tmp_path)["answers"]["issued"] == 50


@needs_locust
def test_of_a_coupon_that_was_claimed_before_the_rest_is_compared(tmp_path, server, admin):
    coupon = check.new_coupon(admin, total=51)["id"]
    check.issued(admin.claim(coupon, "earlier"))
    done = run(tmp_path, "--target", target(server), "--coupon", str(coupon),
               "--admin-token-file", token_file(server))
    assert done.returncode == 0, done.stdout + done.stderr
    assert judgement(tmp_path)["answers"]["issued"] == 50


def test_a_target_that_is_not_there_is_a_failure_to_run(tmp_path, server):
    address = target(server)
    server.stop()
    done = run(tmp_path, "--target", address, "--coupon", "1")
    assert done.returncode == 2 and "Connection refused" in done.stderr
