"""Every design of the original's story beside ours, told: one table, in English and in Korean, and
three pictures."""

import math

from suite.figures import find, told, values_of
from suite.machine import OTHERS_MAX
from suite.plots import STYLE, TERMINAL
from suite.tables import MISSING, Table, as_markdown, number, only, size_name, wanted

# In the order of the story; ours come last.
DESIGNS = ("race", "sql-lock", "redis-lock", "sorted-set", "set", "set-lock", "lua", "lua-aof",
           "embedded", "sql", "redis")
OURS = ("embedded", "sql", "redis")
NAMES = {"lua-aof": "lua, Redis with AOF", "embedded": "coupon: embedded", "sql": "coupon: SQL mode",
         "redis": "coupon: Redis mode"}
# What a design does to its promises: the worst that was seen of it in any turn.
OVERSELLS, LOSES, SYNCS_LATER, KEEPS = range(4)
# What a design that survived the kill is known to leave to the next second: no process that is
# ended shows it.
LATER = ("lua-aof",)
COLOURS = {KEEPS: "#1f5fa8", SYNCS_LATER: "#8aa0b5", LOSES: "#f3b880", OVERSELLS: "#b03a2e"}
KINDS_TOLD = {KEEPS: "exact, and nothing promised was lost",
              SYNCS_LATER: "the same, but a power cut would take the last second",
              LOSES: "exact, but promised ones were lost in the kill",
              OVERSELLS: "not exact: more than there were, or two for one user"}
SHORT = {SYNCS_LATER: "but not in a power cut", LOSES: "loses", OVERSELLS: "not exact"}
LATENCIES = ("p50", "p99", "p99.9")
ALTERNATIVES = {
    "strategies-throughput": "Bars by design: requests/s, coloured by what became of the promises",
    "strategies-promises": "Bars by design: issued beyond 500, and promised ones that were gone",
    "strategies-latency": "Points by design: p50, p99 and p99.9 of a claim"}


def designs_of(lines):
    seen = values_of(lines, "design")
    return [name for name in DESIGNS if name in seen]


def name_of(design):
    return NAMES.get(design, design)


# ---- what became of its promises -------------------------------------------------------------

def turns_of(lines, design, what):
    line = find(lines, what, design=design)
    return line["turns"] if line else []


def quantity_of(lines):
    return values_of(lines, "quantity")[0]


def is_exact(lines, design):
    """Every turn gave all there were and no more, one to a user, and told each who got one."""
    quantity = quantity_of(lines)
    return all(issued == quantity for issued in turns_of(lines, design, "issued")) and not any(
        number_of for what in ("users_twice", "told_without_row")
        for number_of in turns_of(lines, design, what))


def kind_of(lines, design):
    if not is_exact(lines, design):
        return OVERSELLS
    if any(turns_of(lines, design, "gone")):
        return LOSES
    return SYNCS_LATER if design in LATER else KEEPS


def whole(value):
    return f"{value:,.0f}"


def counts(lines, design, what):
    """The median of a count and, where the turns differ, the least and the most."""
    line = find(lines, what, design=design)
    if line is None:
        return MISSING
    if line["min"] == line["max"]:
        return whole(line["median"])
    return f"{whole(line['median'])} ({whole(line['min'])}-{whole(line['max'])})"


# ---- the table -------------------------------------------------------------------------------

ENGLISH = {
    "title": "The designs, one beside the other",
    "head": ["design", "exact?", "issued of {quantity}", "users twice", "promised under the kill",
             "of them gone", "sold out, yet gives again", "crowd, requests/s",
             "sustained, requests/s", "p50/p99/p99.9 ms", "CPU us a request"],
    "yes": "yes", "no": "**no**",
    "note": "Medians of the turns, and in brackets the least and the most where they differ; a "
            "design is exact when every turn was. *Gives again*: of {asked} new users who asked "
            "the crowd's sold-out coupon once more after the kill, how many were told that they "
            "got one. What is gone is what the end of the processes took; with the AOF synced every "
            "second a power cut takes more.",
    "intro": "Written by `./dev bench strategies --record`.",
    "machine": "{cores} cores of {cpu}, {memory_gib} GiB, Linux {kernel}, disk {disk}; {servers}; "
               "commit {commit}, {time}, turns: {turns}, other work at most {others:.0%}.",
    "warning": "**Other work took up to {others:.0%} of the machine; measure again when it is "
               "quiet.**",
    "pictures": ALTERNATIVES}
KOREAN = {
    "title": "한눈에 보는 설계 비교",
    "head": ["설계", "정확한가?", "발급({quantity}장 중)", "중복 발급된 사용자",
             "강제 종료 중 약속한 발급", "그중 사라진 발급", "소진 뒤 다시 발급",
             "한꺼번에 몰릴 때 요청/s", "지속 부하 요청/s", "p50/p99/p99.9 ms", "요청당 CPU us"],
    "yes": "예", "no": "**아니요**",
    "note": "각 회차의 중앙값이며, 회차마다 다르면 괄호에 최솟값과 최댓값을 적었습니다. 모든 회차에서 정확했던 "
            "설계만 정확하다고 적습니다. *소진 뒤 다시 발급*: 강제 종료 뒤 이미 소진된 쿠폰을 새로운 사용자 "
            "{asked}명이 다시 요청했을 때 발급되었다는 답을 받은 사람 수입니다. 사라진 발급은 프로세스를 끝냈을 때 "
            "사라진 것이며, AOF를 1초마다 디스크에 내릴 때 정전이 나면 더 많이 사라집니다.",
    "intro": "`./dev bench strategies --record`가 기록한 수치입니다.",
    "machine": "{cpu} {cores}코어, {memory_gib} GiB, Linux {kernel}, 디스크 {disk}; {servers}; 커밋 "
               "{commit}, {time}, {turns}회, 다른 작업은 최대 {others:.0%}.",
    "warning": "**다른 작업이 머신을 최대 {others:.0%} 썼습니다. 조용할 때 다시 재야 합니다.**",
    "pictures": {
        "strategies-throughput": "설계별 막대: 초당 요청 수, 색은 약속이 어떻게 되었는지",
        "strategies-promises": "설계별 막대: 500장을 넘긴 발급과 사라진 약속",
        "strategies-latency": "설계별 점: 요청 하나의 p50, p99, p99.9"}}


def row_of(lines, design, words):
    def line(what):
        return find(lines, what, design=design)

    latency = "/".join(only(line(f"latency_{name}"), 1e-3) for name in LATENCIES)
    return [name_of(design), words["yes"] if is_exact(lines, design) else words["no"],
            *[counts(lines, design, what)
              for what in ("issued", "users_twice", "promised", "gone", "given_again")],
            *[only(line(what)) for what in ("crowd_requests_per_s", "requests_per_s")],
            latency, only(line("cpu_us_per_request"))]


def table(lines, words):
    asked = next((line["parameters"]["asked"] for line in lines
                  if "asked" in line["parameters"]), MISSING)
    head = [each.format(quantity=quantity_of(lines)) for each in words["head"]]
    return Table(words["title"], head,
                 [row_of(lines, design, words) for design in designs_of(lines)],
                 words["note"].format(asked=asked))


def tables(lines):
    plain = {**ENGLISH, "no": "NO", "note": ENGLISH["note"].replace("*", "")}
    return [table(lines, plain)]


def thresholds(lines):
    """Ours keep their promises, whatever was done to them."""
    found = []
    for design in designs_of(lines):
        if design in OURS:
            for what, name in (("gone", "promised and gone"), ("users_twice", "users issued twice")):
                found += [worst(each, line) for each, line in zip(
                    wanted(lines, {"design": design}, what, f"{name_of(design)}: {name}", 0, False),
                    [find(lines, what, design=design)])]
    return found


def worst(threshold, line):
    threshold.seen = line["max"]
    return threshold


# ---- the documents ---------------------------------------------------------------------------

def section(lines, words):
    """What stands between the marks of docs/strategies.md, in one language."""
    others = max((share for line in lines for share in line.get("other_work", [])), default=0)
    turns = max(len(line["turns"]) for line in lines)
    facts = {"servers": "", **lines[0]["machine"], "turns": turns, "others": others}
    blocks = [words["intro"], words["machine"].format(**facts)]
    if others > OTHERS_MAX:
        blocks.append(words["warning"].format(others=others))
    blocks.append(as_markdown(table(lines, words)))
    blocks += [f"![{text}](strategies/{picture}.svg)"
               for picture, text in words["pictures"].items()]
    return "\n\n".join(blocks)


DOCUMENTS = {"strategies.md": lambda lines: section(lines, ENGLISH),
             "strategies.ko.md": lambda lines: section(lines, KOREAN)}


# ---- pictures --------------------------------------------------------------------------------

def places(lines):
    """Every design with its place on the upright axis, the story's first at the top."""
    designs = designs_of(lines)
    return [(len(designs) - index, design) for index, design in enumerate(designs)]


def tics(lines):
    names = ", ".join(f"'{name_of(design)}' {place}" for place, design in places(lines))
    return (f"set ytics ({names}) scale 0\nset yrange [0.4:{len(places(lines)) + 0.6}]\n"
            "set grid noytics xtics\n")


def bars(block, designs_rows):
    """A block of lying bars: place, value, least, most, colour, label."""
    rows = "\n".join(f'{place} {value} {least} {most} {int(colour[1:], 16)} "{label}"'
                     for place, value, least, most, colour, label in designs_rows)
    return f"${block} << EOD\n{rows}\nEOD\n"


def plot_of(block, base, room):
    """The bars from `base`, a thin line from the least to the most, and the label behind them.
    `room`: how far behind, as gnuplot adds or multiplies it."""
    return (f"${block} using ({base}):1:({base}):2:($1-0.36):($1+0.36):5 with boxxyerror "
            "linecolor rgb variable notitle, "
            f"${block} using 3:1:($4-$3):(0) with vectors nohead linecolor rgb '#222222' notitle, "
            f"${block} using (($2 > $4 ? $2 : $4) {room}):1:6 with labels left "
            "textcolor rgb '#333333' notitle")


def keys(lines):
    kinds = [kind_of(lines, design) for design in designs_of(lines)]
    return ", ".join(f"NaN with boxes linecolor rgb '{COLOURS[kind]}' title '{text}'"
                     for kind, text in KINDS_TOLD.items() if kind in kinds)


def throughput_picture(lines):
    rows = []
    for place, design in places(lines):
        line, kind = find(lines, "requests_per_s", design=design), kind_of(lines, design)
        if line:
            label = number(told(line)) + ("" if kind == KEEPS else f", {SHORT[kind]}")
            rows.append((place, told(line), line["min"], line["max"], COLOURS[kind], label))
    most = max(row[3] for row in rows)
    return (TERMINAL.format(width=900, height=130 + 34 * len(rows)) + STYLE + tics(lines)
            + bars("rates", rows) + f"set title 'requests/s, sustained (more is better)'\n"
            f"set xrange [0:{1.2 * most:.0f}]\nset format x '%.0s%c'\n"
            "set key outside below vertical maxrows 4 left reverse Left\n"
            f"plot {plot_of('rates', 0, f'+ {0.012 * most}')}, {keys(lines)}\n")


def beyond_rows(lines):
    """Issued beyond the quantity; what is told is the median, the thin line goes to the worst."""
    quantity, rows = quantity_of(lines), []
    for place, design in places(lines):
        line = find(lines, "issued", design=design)
        twice = find(lines, "users_twice", design=design)
        values = [max(line[each] - quantity, 0) for each in ("median", "min", "max")]
        label = whole(line["median"])
        if line["median"] == quantity < line["max"]:
            label += f", once {whole(line['max'])}"
        if twice and twice["median"]:
            label += f", {whole(twice['median'])} users twice"
        rows.append((place, *values, COLOURS[kind_of(lines, design)], label))
    return rows


def gone_rows(lines):
    """The share of what was promised under the kill and is gone, in percent."""
    rows = []
    for place, design in places(lines):
        promised, gone = (find(lines, what, design=design) for what in ("promised", "gone"))
        if promised and gone:
            shares = sorted(100 * lost / max(all_of, 1) for lost, all_of in
                            zip(gone["turns"], promised["turns"]))
            label = f"{whole(told(gone))} of {whole(told(promised))}"
            rows.append((place, shares[len(shares) // 2], shares[0], shares[-1],
                         COLOURS[kind_of(lines, design)], label))
    return rows


def panel(block, rows, title):
    """One of two pictures side by side; the labels need a good part of its width."""
    most = max([1, *[row[3] for row in rows]])
    step = 10 ** math.floor(math.log10(most))
    step = next(step * part for part in (0.2, 0.5, 1, 2, 5) if most / (step * part) <= 5)
    return (bars(block, rows) + f"set title '{title}'\nset xrange [0:{2.1 * most:.4g}]\n"
            f"set xtics 0,{max(step, 1):g},{most:.4g}\n"
            f"plot {plot_of(block, 0, f'+ {0.02 * most}')}\n")


NOTHING = 0.7  # where a logarithmic axis begins


def steep_panel(block, rows, title):
    """The same, each step ten times the one before, so that tens show beside thousands. Nothing
    at all is no bar."""
    most = 10 ** max(1, math.ceil(math.log10(max(1, *[row[3] for row in rows]))))
    rows = [(place, *[max(value, NOTHING) for value in values], colour, label)
            for place, *values, colour, label in rows]
    tics = ", ".join(f"'{size_name(10 ** power)}' {10 ** power}"
                     for power in range(int(math.log10(most))))
    return (bars(block, rows) + f"set title '{title}'\nset logscale x\n"
            f"set xrange [{NOTHING}:{most ** 1.7:.4g}]\nset xtics ({tics})\n"
            f"plot {plot_of(block, NOTHING, '* 1.2')}\nunset logscale x\n")


def promises_picture(lines):
    beyond, gone = beyond_rows(lines), gone_rows(lines)
    quantity = quantity_of(lines)
    return (TERMINAL.format(width=1200, height=110 + 34 * len(beyond)) + STYLE
            + "set multiplot layout 1,2\n" + tics(lines)
            + steep_panel("beyond", beyond, f"issued beyond {quantity} (none is right)")
            + panel("gone", gone, "gone after kill -9, % of promised")
            + "unset multiplot\n")


def latency_picture(lines):
    rows = []
    for place, design in places(lines):
        values = [find(lines, f"latency_{name}", design=design) for name in LATENCIES]
        if all(values):
            rows.append(f"{place} " + " ".join(f"{told(line) / 1000:.4g}" for line in values)
                        + f" {int(COLOURS[kind_of(lines, design)][1:], 16)}")
    points = ", ".join(
        f"$times using {column}:1:5 with points pointtype {kind} pointsize 1.3 "
        f"linecolor rgb variable title '{name}'"
        for column, kind, name in zip((2, 3, 4), (7, 5, 9), LATENCIES))
    data = "\n".join(rows)
    return (TERMINAL.format(width=900, height=110 + 34 * len(rows)) + STYLE + tics(lines)
            + f"$times << EOD\n{data}\nEOD\n"
            "set title 'ms from the request to its answer, sustained (less is better)'\n"
            "set logscale x\nset format x '%g'\nset xlabel 'ms'\nset key outside right top\n"
            "plot $times using 2:1:($4-$2):(0):5 with vectors nohead linewidth 2 "
            f"linecolor rgb variable notitle, {points}\n")


def scripts(lines):
    return {"strategies-throughput": throughput_picture(lines),
            "strategies-promises": promises_picture(lines),
            "strategies-latency": latency_picture(lines)}
