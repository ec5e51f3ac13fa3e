"""What a case came to: the answers of the crowd held against the ledger, by SQL.

Not for: making faults or waiting. Called by case.py when the queue is drained."""

from dataclasses import dataclass, field

PATIENCE_S = 8       # the longest that anybody may wait for an answer; the nodes' deadline is 3 s
FINAL = ("sold-out", "ended", "paused", "not-started")
NAMES_MAX = 5
PLACES_MAX = 300
HEX = {"postgresql": "encode(convert_to({0}::text, 'UTF8'), 'hex')", "mariadb": "hex({0})"}


@dataclass
class Result:
    case: str = ""
    ledger: str = ""
    claims: int = 0
    won: int = 0
    queued: int = 0       # answers of 202
    rows: int = 0
    missing: int = 0      # told 201, and no row of that rank for them
    surplus: int = 0      # rows beyond the quantity
    lost: int = 0         # told 202, never refused, and no row
    longest_s: float = 0
    seconds: float = 0
    codes: dict = field(default_factory=dict)
    notes: list = field(default_factory=list)
    violations: list = field(default_factory=list)


def some(things):
    things = sorted(things, key=str)
    more = f" and {len(things) - NAMES_MAX} more" if len(things) > NAMES_MAX else ""
    return ", ".join(map(str, things[:NAMES_MAX])) + more


def rows_of(case):
    """[(rank, user)] of the coupon, in the order of the ranks."""
    column = HEX[case.cluster.sql.NAME].format("user_id")
    text = case.sql(f"SELECT rank_no, {column} FROM coupon_issues WHERE coupon_id = {case.coupon}"
                    " ORDER BY rank_no")
    pairs = [line.split("\t") for line in text.split("\n")] if text else []
    return [(int(rank), bytes.fromhex(user).decode()) for rank, user in pairs]


def rejects_of(case):
    """{(epoch, n, idx)} of the partition."""
    text = case.sql(f"SELECT epoch, n, idx FROM coupon_rejects WHERE p = {case.coupon % 64}")
    return {tuple(map(int, line.split("\t"))) for line in text.split("\n")} if text else set()


def judge(case):
    crowd, rows = case.crowd, rows_of(case)
    told = crowd.told
    rank_of = {user: rank for rank, user in rows}
    result = Result(claims=len({(one.user, one.key) for one in told}), rows=len(rows),
                    won=len({one.user for one in told if one.status == 201}),
                    queued=crowd.counts[202], notes=case.notes,
                    codes={key: count for key, count in crowd.counts.items()
                           if isinstance(key, str) or key <= 0})
    result.longest_s = max(one.answered_at - one.sent_at for one in told)
    found = result.violations
    found += of_the_record(case, rows, rank_of)
    result.surplus = max(0, len(rows) - case.expected[1])
    result.missing, more = of_successes(told, rank_of)
    found += of_places(case, told, rank_of)
    found += more + of_refusals(case, told, rank_of) + of_order(told) + of_liveness(crowd, result)
    result.lost = len(lost_admissions(case, told, rank_of))
    epoch = case.sql(f"SELECT epoch FROM partitions WHERE p = {case.coupon % 64}")
    result.notes.append(f"epoch {epoch} in the end; rebuilt because: {some(rebuilt(case))}")
    verified = case.cluster.verify()
    if verified.returncode != 0:
        found.append(f"coupon verify: {verified.stdout}{verified.stderr}")
    return result


def rebuilt(case):
    """Why workers gave up a queue, as their logs say."""
    return [line.split(" why=", 1)[1] for worker in case.cluster.workers
            for line in worker.log().split("\n") if "event=partition-rebuilt" in line]


def of_the_record(case, rows, rank_of):
    found, (least, most) = [], case.expected
    if not least <= len(rows) <= most:
        found.append(f"{len(rows)} rows, expected {least} to {most}")
    if [rank for rank, _ in rows] != list(range(1, len(rows) + 1)):
        found.append("the ranks are not 1, 2, 3 …")
    if len(rank_of) != len(rows):
        found.append(f"{len(rows) - len(rank_of)} rows too many for their users")
    count = int(case.sql(f"SELECT issued_quantity FROM coupons WHERE id = {case.coupon}"))
    if count != len(rows):
        found.append(f"issued_quantity is {count}, with {len(rows)} rows")
    if case.rows_at_sold_out is not None and case.rows_at_sold_out < least:
        found.append(f"'sold out' was told when the ledger held {case.rows_at_sold_out}")
    return found


def of_successes(told, rank_of):
    """How many of 201 are not in the record as told; sentences."""
    found, ranks = [], {}
    for one in told:
        if one.status == 201:
            if ranks.setdefault(one.user, one.rank) != one.rank:
                found.append(f"{one.user} was told rank {ranks[one.user]}, then {one.rank}")
    missing = [user for user, rank in ranks.items() if rank_of.get(user) != rank]
    if missing:
        found.append("told 201, but not so in the ledger: " + some(
            f"{user} (told {ranks[user]}, is {rank_of.get(user)})" for user in missing))
    return len(missing), found


def of_refusals(case, told, rank_of):
    found = []
    false = {one.user for one in told if one.code in FINAL and one.user in rank_of}
    if false:
        found.append(f"refused, but with a row: {some(false)}")
    wrong = {one.user for one in told
             if one.code == "already-issued" and rank_of.get(one.user) != one.rank}
    if wrong:
        found.append(f"told that they hold what they do not: {some(wrong)}")
    known = {None, "sold-out", "already-issued", "overloaded", "storage-unavailable",
             "outcome-unknown", "starting", *getattr(case, "codes", ())}
    other = {(one.status, one.code) for one in told} - {
        (one.status, one.code) for one in told if one.code in known}
    if other:
        found.append(f"unexpected answers: {some(other)}")
    return found


def of_order(told):
    """I4: who was told before another asked has the lower rank. I6: nobody wins whose first ask was
    sent after a "sold out" was told."""
    found, asked, won = [], {}, {}
    for one in told:
        asked[one.user] = min(one.sent_at, asked.get(one.user, one.sent_at))
        if one.status == 201:
            before = won.get(one.user, (0, one.answered_at))[1]
            won[one.user] = (one.rank, min(one.answered_at, before))
    earliest = None
    for user, (rank, answered_at) in sorted(won.items(), key=lambda item: -item[1][0]):
        if earliest is not None and earliest[0] < asked[user]:
            found.append(f"rank {earliest[1]} was told before rank {rank} was asked for")
            break
        if earliest is None or answered_at < earliest[0]:
            earliest = (answered_at, rank)
    sold_out = min((one.answered_at for one in told if one.code == "sold-out"), default=None)
    late = [user for user in won if sold_out is not None and asked[user] > sold_out]
    if late:
        found.append(f"won after 'sold out' was told: {some(late)}")
    return found


def of_liveness(crowd, result):
    found = []
    if crowd.counts[-1]:
        found.append(f"{crowd.counts[-1]} asks were never answered")
    if result.longest_s > PATIENCE_S:
        found.append(f"somebody waited {result.longest_s:.1f} s for an answer")
    if crowd.given_up:
        found.append(f"{len(crowd.given_up)} asks were told to come again until the end")
    return found


def of_places(case, told, rank_of):
    """The status URLs that came with 202 agree with the record."""
    found = []
    for one in [one for one in told if one.status == 202][:PLACES_MAX]:
        answer = case.standing(one.place)
        rank = answer["issue"]["rank"] if answer["status"] == "issued" else None
        if answer["status"] == "pending" or rank != rank_of.get(one.user):
            found.append(f"{one.place} of {one.user}, who has {rank_of.get(one.user)}: {answer}")
    return found[:NAMES_MAX]


def lost_admissions(case, told, rank_of):
    """Users with a 202 who hold nothing and were not refused, by an answer or in the record."""
    rejects = rejects_of(case)
    refused = {one.user for one in told if one.code in FINAL}
    lost = set()
    for one in told:
        if one.status == 202 and one.user not in rank_of and one.user not in refused:
            _, epoch, n, index, _ = one.place.rsplit("/", 1)[1].split(".")
            if (int(epoch), int(n), int(index)) not in rejects:
                lost.add(one.user)
    return lost
