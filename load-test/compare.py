"""Do the clients' story and the ledger's agree?

For run.py; values in, values out, so that tests can plant a disagreement of every kind.
Not for: running anything, reading a socket.
"""

import json
from collections import defaultdict
from dataclasses import dataclass, field

EXAMPLES_MAX = 5


@dataclass
class Told:
    """What the clients were told, all workers together."""
    counts: dict = field(default_factory=lambda: defaultdict(int))      # by answer
    failures: dict = field(default_factory=lambda: defaultdict(int))    # by reason
    issued: dict = field(default_factory=lambda: defaultdict(list))     # user: ranks of 201s
    already: dict = field(default_factory=lambda: defaultdict(set))     # user: ranks of 409s
    sold_out: set = field(default_factory=set)                          # users
    unheard: set = field(default_factory=set)                           # users without a verdict
    answered: set = field(default_factory=set)                          # users with a verdict
    others: list = field(default_factory=list)                          # told about another user

    def add(self, line):
        """One line of a worker's record."""
        answer = json.loads(line)
        user, kind, rank = answer["user"], answer["answer"], answer.get("rank")
        self.counts[kind] += 1
        if kind in ("failed", "cut-off", "admitted"):
            self.unheard.add(user)
            if kind == "failed":
                self.failures[answer.get("why")] += 1
            return
        self.answered.add(user)
        if kind == "issued":
            self.issued[user].append(rank)
        elif kind == "already-issued":
            self.already[user].add(rank)
        else:
            self.sold_out.add(user)
        if "told_user" in answer:
            self.others.append(f"{user} was told of {answer['told_user']}'s issue")

    def total(self):
        return sum(self.counts.values())


@dataclass
class Finding:
    """One line of the comparison: what must hold, two figures, what contradicts it."""
    what: str
    clients: str
    record: str
    wrong: list

    @property
    def agrees(self):
        return not self.wrong


def read_told(paths):
    told = Told()
    for path in paths:
        with open(path, encoding="utf-8") as record:
            for line in record:
                told.add(line)
    return told


def bounds(told, quantity, before=0):
    """The least and the most that can have been issued to this run's users: everyone who
    got a verdict has asked in vain only if nothing was left; no answer says nothing."""
    room = quantity - before
    return (min(room, len(told.answered)), min(room, len(told.answered | told.unheard)))


def spread(low, high):
    return str(low) if low == high else f"{low} to {high}"


def quantity_finding(told, issued, quantity, before=0):
    """Exactly the quantity is issued, or, of a crowd smaller than that, one to each."""
    low, high = bounds(told, quantity, before)
    wrong = []
    if issued > quantity - before:
        wrong.append(f"{issued - quantity + before} more than there are")
    elif not low <= issued <= high:
        wrong.append(f"{issued} issued, {spread(low, high)} expected")
    if told.sold_out and issued < quantity - before:
        wrong.append(f"sold out was told with {quantity - before - issued} left")
    return Finding("issued, of what there was to issue", f"expect {spread(low, high)}",
                   str(issued), wrong)


def told_findings(told):
    """What the clients' story must be in itself."""
    twice = [f"{user} was told 201 {len(ranks)} times" for user, ranks in told.issued.items()
             if len(ranks) > 1]
    users_by_rank = defaultdict(set)
    for user, ranks in told.issued.items():
        for rank in ranks:
            users_by_rank[rank].add(user)
    shared = [f"rank {rank} was told to {', '.join(sorted(users))}"
              for rank, users in users_by_rank.items() if len(users) > 1]
    changed = [f"{user} was told ranks {sorted(ranks | set(told.issued.get(user, [])))}"
               for user, ranks in told.already.items()
               if len(ranks | set(told.issued.get(user, []))) > 1]
    holders = set(told.issued) | set(told.already)
    refused = [f"{user} holds one and was told sold out"
               for user in sorted(told.sold_out & holders)]
    return [Finding("users told of a first issue twice", str(len(twice)), "", twice),
            Finding("ranks told to two users", str(len(shared)), "", shared),
            Finding("other answers on asking again", str(len(changed) + len(refused)), "",
                    changed + refused),
            Finding("answers about somebody else", str(len(told.others)), "", told.others)]


def record_findings(told, rows):
    """The clients' story against the record: rows is [(rank, user)] in the record's order."""
    ranks = [rank for rank, _ in rows]
    by_user = defaultdict(list)
    for rank, user in rows:
        by_user[user].append(rank)
    gaps = [f"rank {rank} at place {place}" for place, rank in enumerate(ranks, 1)
            if rank != place]
    duplicates = [f"{user} holds ranks {held}" for user, held in by_user.items() if len(held) > 1]
    claims = [(user, rank) for user, held in told.issued.items() for rank in held]
    claims += [(user, rank) for user, held in told.already.items() for rank in held]
    missing = [f"{user} was told rank {rank}, the record says {by_user.get(user) or 'nothing'}"
               for user, rank in claims if rank not in by_user.get(user, ())]
    silent = [f"rank {rank} of {user}: nobody was told" for rank, user in rows
              if user not in told.issued and user not in told.unheard]
    refused = [f"{user} was told sold out and holds {by_user[user]}"
               for user in sorted(told.sold_out & set(by_user))]
    heard = sum(user in told.issued for user in by_user)
    return [Finding("ranks 1, 2, 3 … without gaps", "", f"1 to {len(rows)}", gaps),
            Finding("users who hold two", "", str(len(duplicates)), duplicates),
            Finding("told as issued, and recorded so", str(len(told.issued)), str(heard), missing),
            Finding("recorded, though nobody was told", "", str(len(silent)), silent),
            Finding("told sold out, and yet recorded", str(len(refused)), "", refused)]


def compare_with_record(told, rows, quantity):
    return [quantity_finding(told, len(rows), quantity), *record_findings(told, rows),
            *told_findings(told)]


def compare_with_count(told, before, after, quantity):
    """Where only the coupon's own count can be read."""
    issued = after - before
    missing = []
    if not len(told.issued) <= issued <= len(told.issued) + len(told.unheard):
        missing = [f"{issued} were counted, {len(told.issued)} were told"]
    return [quantity_finding(told, issued, quantity, before),
            Finding("told as issued, and counted so", str(len(told.issued)), str(issued), missing),
            *told_findings(told)]


def answers_table(told):
    lines = [f"{'answers':<38}{'count':>10}"]
    for kind in ("issued", "already-issued", "sold-out", "admitted", "cut-off", "failed"):
        lines.append(f"{kind:<38}{told.counts.get(kind, 0):>10}")
    for why, count in sorted(told.failures.items(), key=lambda item: -item[1])[:EXAMPLES_MAX]:
        lines.append(f"  failed: {why}: {count}")
    return "\n".join(lines)


def findings_table(findings):
    lines = [f"{'comparison':<38}{'clients':>14}{'record':>10}  agree"]
    for finding in findings:
        lines.append(f"{finding.what:<38}{finding.clients:>14}{finding.record:>10}  "
                     f"{'yes' if finding.agrees else 'NO'}")
        lines += [f"  {example}" for example in finding.wrong[:EXAMPLES_MAX]]
        if len(finding.wrong) > EXAMPLES_MAX:
            lines.append(f"  and {len(finding.wrong) - EXAMPLES_MAX} more")
    return "\n".join(lines)
