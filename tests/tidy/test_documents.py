"""The documents keep what they promise of each other: links lead somewhere, the README in
Korean equals the one in English, and the tables of alerts and log events are complete.

Not for: what the documents say of calls, metrics and refusals; tests/e2e asks a server.
"""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]

FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^(#{1,6}) +(.+?) *$", re.MULTILINE)
CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


def prose_of(text):
    """The text without its code blocks, in which # and [] mean something else."""
    return FENCE.sub("", text)


def anchors_of(text):
    """The fragments under which a page's headings are reached, as GitHub makes them."""
    seen, anchors = {}, set()
    for _, title in HEADING.findall(prose_of(text)):
        title = LINK.sub(lambda link: link.group().split("](")[0].lstrip("!["), title)
        anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        count = seen.get(anchor, 0)
        seen[anchor] = count + 1
        anchors.add(f"{anchor}-{count}" if count else anchor)
    return anchors


def faults_of(document, text):
    """The relative links of a document that lead nowhere."""
    for link in LINK.findall(prose_of(text)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = unquote(link).partition("#")
        target = (document.parent / name).resolve() if name else document
        if not target.exists():
            yield f"{link}: there is no such file"
        elif anchor and anchor not in anchors_of(text if target == document else
                                                 target.read_text(encoding="utf-8")):
            yield f"{link}: there is no such heading"


@pytest.mark.parametrize("name", NAMES)
def test_every_relative_link_leads_to_a_file_and_a_heading(name):
    assert list(faults_of(ROOT / name, text_of(name))) == []


def test_a_link_to_nowhere_is_found(tmp_path):
    (tmp_path / "b.md").write_text("# One `two`: three\n```\n# no heading\n```\n## 가나 다\n")
    text = ("# Here\n[a](b.md) [b](b.md#one-two-three) [c](#here) [d](b.md#가나-다)\n"
            "[e](c.md) [f](b.md#no-heading) [g](#there) [h](https://example.org/none)\n")
    (tmp_path / "a.md").write_text(text)
    assert list(faults_of(tmp_path / "a.md", text)) == [
        "c.md: there is no such file", "b.md#no-heading: there is no such heading",
        "#there: there is no such heading"]


def test_every_document_is_reached_from_the_readme():
    reached, new = set(), {ROOT / "README.md"}
    while new:
        document = new.pop()
        reached.add(document)
        if document.suffix == ".md":
            links = LINK.findall(prose_of(document.read_text(encoding="utf-8")))
            found = {(document.parent / link.partition("#")[0]).resolve() for link in links}
            found |= {path for folder in found if folder.is_dir() for path in folder.glob("*.md")}
            new |= {path for path in found if path.is_file()} - reached
    unreached = [name for name in NAMES if ROOT / name not in reached and name != "CHANGELOG.md"]
    assert unreached == []


# ---- the two READMEs -------------------------------------------------------------------------

def outline(text):
    """What two languages of one page share, besides the line by which each names the other."""
    text = re.sub(r"^.*README(\.ko)?\.md.*\n", "", text, count=1, flags=re.MULTILINE)
    prose = prose_of(text)
    return {
        "heading levels": [marks for marks, _ in HEADING.findall(prose)],
        "code blocks": FENCE.findall(text),
        "links": sorted(LINK.findall(prose)),
        "words in code": sorted(CODE.findall(prose)),
        "table rows": len(re.findall(r"^\|", prose, re.MULTILINE)),
        "list items": len(re.findall(r"^- ", prose, re.MULTILINE)),
    }


def test_the_readmes_are_equal():
    english, korean = outline(text_of("README.md")), outline(text_of("README.ko.md"))
    for part, what in english.items():
        assert what == korean[part], part


@pytest.mark.parametrize("name, other", [("README.md", "README.ko.md"),
                                         ("README.ko.md", "README.md")])
def test_each_readme_names_the_other_at_its_top(name, other):
    assert f"]({other})" in "\n".join(text_of(name).splitlines()[:4])


# ---- tables that must be complete ------------------------------------------------------------

def section(text, heading):
    """What stands below a heading, up to the next of its level or above."""
    level = len(heading) - len(heading.lstrip("#"))
    begin = text.index(f"\n{heading}\n") + len(heading) + 2
    end = re.search(r"^#{1,%d} " % level, text[begin:], re.MULTILINE)
    return text[begin:begin + end.start()] if end else text[begin:]


def test_every_alert_has_its_heading_and_every_heading_its_alert():
    alerts = re.findall(r"- alert: (\w+)", text_of("deploy/prometheus/alerts.yml"))
    alarms = section(text_of("docs/operations.md"), "## Alarms")
    headings = [title for _, title in HEADING.findall(prose_of(alarms))]
    assert len(alerts) >= 10
    assert sorted(headings) == sorted(alerts)


# An event whose name the line that logs it does not spell, and the names it can have.
NAMED_ELSEWHERE = {
    ("src/cli/serve.c", "stage"): re.compile(r'\bfail\("([a-z-]+)"'),
    ("src/cli/token.c", "event"): re.compile(r'\bkind = "([a-z-]+)"'),
    ("src/api/commands.c", "event"): re.compile(r'\blog_change\("([a-z-]+)"'),
}


def events_of_the_source():
    events = set()
    for path in sorted((ROOT / "src").rglob("*.c")):
        text = path.read_text(encoding="utf-8")
        name = str(path.relative_to(ROOT))
        for event in re.findall(r"\blog_event\(\s*\w+,\s*([^,)]+)[,)]", text):
            if event.startswith('"'):
                events.add(event.strip('"'))
                continue
            assert (name, event) in NAMED_ELSEWHERE, f"{name}: which events are {event}?"
            found = NAMED_ELSEWHERE[name, event].findall(text)
            assert found, f"{name}: {event} has no names any more"
            events.update(f"{kind}-exposed" if name.endswith("token.c") else kind
                          for kind in found)
    return events


def test_every_event_of_the_log_has_its_row():
    rows = section(text_of("docs/operations.md"), "## Logs")
    told = {event for cell in re.findall(r"^\|([^|]+)\|", rows, re.MULTILINE)
            for event in CODE.findall(cell)}
    assert told == events_of_the_source()


# ---- figures ---------------------------------------------------------------------------------

def test_the_speeds_told_elsewhere_are_those_of_the_performance_page():
    measured = {number.replace(",", "")[:-3]
                for number in re.findall(r"\b\d{3},\d{3}\b", text_of("docs/performance.md"))}
    sizing = section(text_of("docs/operations.md"), "## Sizing")
    told = re.findall(r"(?<![\d,])(\d{3}),000(?![\d,])", text_of("README.md") + sizing)
    assert told and set(told) <= measured, "in whole thousands, rounded down"
