"""What src/http itself costs: a server of one constant reply (http_bench.c, one loop) beside
nginx `return 200` (one worker), turn about under the same wrk. Not measured unless asked for."""

from suite.coupon import answers
from suite.figures import rotated
from suite.nginx import nginx_server
from suite.parts.http import WARM_SECONDS, Contestant, lines_of, one_load
from suite.processes import free_port, running, wait_until
from suite.wrk import check_replies

SUMMARY = "src/http with a constant reply beside nginx (only when asked for)"
BODY = '{"issueId":"1-1","couponId":1,"rank":1}'  # as http_bench.c has it
CASE = "accepted"


def steps(settings):
    seconds = 2 * settings.turns * (settings.seconds + 0.4) + 4
    return [(f"floor, {connections} connections", seconds)
            for connections in settings.connections]


def measure(run):
    for connections in run.settings.connections:
        run.progress.step()
        with run.folder() as folder:
            compare(run, folder, {"case": CASE, "loops": 1, "connections": connections})


def compare(run, folder, parameters):
    port, log = free_port(), folder / "http-bench.log"
    with running([run.program("http-bench"), port, 1], log) as process, \
            nginx_server(folder / "nginx", 1, {CASE: (200, BODY)}) as theirs:
        wait_until("http-bench", process, log, lambda: answers(port, "/"))
        contestants = [
            Contestant("coupon", process, {CASE: f"http://127.0.0.1:{port}/"}),
            Contestant("nginx", theirs.process, {CASE: f"http://127.0.0.1:{theirs.ports[CASE]}/"})]
        take_turns(run, contestants, parameters)


def take_turns(run, contestants, parameters):
    seen = {one.name: [] for one in contestants}
    for one in contestants:
        one_load(one, CASE, parameters, "warm", WARM_SECONDS)
    for turn in range(run.settings.turns):
        for one in rotated(contestants, turn):
            figures = one_load(one, CASE, parameters, f"turn{turn}", run.settings.seconds)
            check_replies(one.name, CASE, figures)
            seen[one.name].append(figures)
    run.write(*lines_of(seen, parameters))
