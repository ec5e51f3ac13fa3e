"""Writes what was measured into the documents, each part between its own marks, so that parts which
were not measured keep what was seen of them before; the words around the marks are people's. The
pictures go into the folder of the document's name."""

import shutil

from suite import report, tell
from suite.machine import ROOT
from suite.processes import Refused
from suite.tables import as_markdown, rows_as_markdown

DOCUMENTS = ROOT / "docs"
USUAL = "performance.md"
MORE = "<!-- figures of other parts -->"  # a part that has no marks yet gets them before this


def marks(part):
    return f"<!-- figures of {part}: begin -->", f"<!-- figures of {part}: end -->"


def picture_links(part, lines, document=USUAL):
    told = tell.of(part)
    return [f"![{told.ALTERNATIVES[name]}]({document.split('.')[0]}/{name}.svg)"
            for name in told.scripts(lines)]


def section(part, lines):
    """What stands between the marks of a part, unless its module has words of its own for that."""
    parts = {part: lines}
    told = tell.of(part)
    blocks = [f"### {part}",
              "\n".join(f"- {line}" for line in report.machine_lines(parts)),
              *[f"**{warning}**" for warning in report.warnings(parts)],
              *[as_markdown(table, "####") for table in told.tables(lines)],
              *picture_links(part, lines)]
    wanted = report.threshold_table(parts)
    if wanted.rows:
        blocks += [f"{wanted.title}:", rows_as_markdown(wanted)]
    return "\n\n".join(blocks)


def replaced(document, part, figures):
    """The document with other figures between the part's marks."""
    begin, end = marks(part)
    if begin not in document and end not in document and document.count(MORE) == 1:
        document = document.replace(MORE, f"{begin}\n{end}\n\n{MORE}")
    if document.count(begin) != 1 or document.count(end) != 1 or \
            document.index(end) < document.index(begin):
        raise Refused(f"the document must have {begin} once, and {end} once after it; or neither, "
                      f"and {MORE}")
    before, _, rest = document.partition(begin)
    return f"{before}{begin}\n\n{figures}\n\n{end}{rest.partition(end)[2]}"


def sections(part, lines):
    """{document: what it says of the part}."""
    own = getattr(tell.of(part), "DOCUMENTS", {})
    return {document: make(lines) for document, make in own.items()} or \
        {USUAL: section(part, lines)}


def record(parts, pictures, folder=DOCUMENTS):
    """`pictures`: {part: paths}. Leaves quick runs out: figures that are told must be worth it.
    Returns the documents that were written, and those parts."""
    kept = {name: lines for name, lines in parts.items() if not lines[0]["quick"]}
    if not kept:
        raise Refused("nothing to record: nothing was measured, or only by quick runs")
    texts = {}
    for part, lines in kept.items():
        for name, figures in sections(part, lines).items():
            text = texts.get(name) or (folder / name).read_text()
            texts[name] = replaced(text, part, figures)
            beside = folder / name.split(".")[0]
            beside.mkdir(exist_ok=True)
            for picture in pictures.get(part, []):
                shutil.copyfile(picture, beside / picture.name)
    for name, text in texts.items():
        (folder / name).write_text(text)
    return list(texts), [name for name in parts if name not in kept]
