"""The review page: one HTML file that holds everything it shows and asks no host for anything.

Thumbnails lie in blocks of text that the page reads only when it shows them. Everything that comes from a file name
is data, escaped here once and put into the page by `textContent`; the page's content policy forbids the rest.
"""

import base64
import html
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence, Set
from pathlib import Path
from urllib.parse import quote

import numpy as np

from artifact_detection.detector.regions import Region, from_text
from artifact_detection.filtering.looking import Looking
from artifact_detection.filtering.policy import BY_A_PERSON, Policy
from artifact_detection.filtering.results import Judged, need_of_a_look
from artifact_detection.filtering.shift import ALPHA, Comparison
from artifact_detection.filtering.store import STAMP, Record, Stores
from artifact_detection.labels import FAMILIES
from artifact_detection.system.files import write_atomic
from artifact_detection.system.paths import printable_path

PAGE = Path(__file__).parent / "page"
REPORT = "report.html"
BLOCK = 200  # pictures in one block of text
NOTHING = Looking([], [])
SMALL_PRINT = "<details><summary>how this was estimated</summary>{}</details>"  # opens on a click
WIDTH, HEIGHT = 220, 56  # of a chart, pixels
QUESTION = "<p>Does it throw out one kind of image, such as the dark ones? The kept against the others:</p>"
TOO_FEW = "<p>There are too few kept, or too few other images to compare.</p>"


def write_report(
    folder: Path, judged: Sequence[Judged], stores: Stores, policy: Policy, *, lines: Sequence[str], method: str = "",
    comparisons: Sequence[Comparison] = (), places: dict[str, Path], model: str, limit: int, todo: Looking = NOTHING,
) -> Path:  # fmt: skip
    """Write report.html and return its path.

    lines: the summary, plain text; method: how its estimate was made. places: where an image is now, by its path, if it
    was moved. limit: images shown; the others are in the counts and in the histogram only. todo: what is looked at one
    by one; all of it is shown, as is what was decided.
    """
    decided = [row for row in judged if row.verdict.reason == BY_A_PERSON]  # the page exports what it shows
    always = {id(row) for row in decided + todo.audit + todo.informative}
    shown = choose_shown([row for row in judged if row.band], limit, always)
    position = {id(row): number for number, row in enumerate(shown)}
    rest = [row.record.probability for row in judged if row.band and id(row) not in position]
    data = {
        "families": FAMILIES if any(row.record.regions for row in judged) else (),
        "model": model,
        "edges": policy.edges(),
        "certified": policy.certified,
        "images": [_image(row, folder, places) for row in shown],
        # millionths: exact, and small for a million images
        "rest": _base64((np.array(rest) * 1e6).round().astype("<u4").tobytes()),
        "errors": [[printable_path(row.record.path), row.record.error] for row in judged if not row.band],
        "block": BLOCK,
        "audit": [position[id(row)] for row in todo.audit],
        "informative": [position[id(row)] for row in todo.informative],
    }
    parts = {
        "STYLE": _files("css"),
        "SUMMARY": [
            *(f"<p>{html.escape(line)}</p>" for line in lines),
            SMALL_PRINT.format(html.escape(method)) * bool(method),
        ],
        "SHIFT": [comparison_table(comparisons)],
        "DATA": [_json(data)],
        "PICTURES": _blocks(shown, stores),
        "SCRIPT": _files("js"),
    }
    write_atomic(folder / REPORT, _page(parts))
    return folder / REPORT


def _page(parts: dict[str, Iterable[str]]) -> Iterator[str]:
    """The template, a piece at a time (the pictures of 10,000 images take 100 MB); what is put in is not searched."""
    template = (PAGE / "template.html").read_text(encoding="utf-8")
    for number, text in enumerate(re.split("<!--([A-Z]+)-->", template)):
        yield from parts[text] if number % 2 else [text]


def _files(suffix: str) -> list[str]:
    """The page's own parts of a kind: page.js and page.css are the ground that the others stand on."""
    paths = sorted(PAGE.glob(f"*.{suffix}"), key=lambda path: (path.stem != "page", path.name))
    return [path.read_text(encoding="utf-8") for path in paths]


def choose_shown(usable: list[Judged], limit: int, always: Set[int] = frozenset()) -> list[Judged]:
    """By falling probability: `limit` images, review before reject before keep, and those with an id in `always`."""
    wanted = sorted(usable, key=need_of_a_look)
    shown = [row for number, row in enumerate(wanted) if number < limit or id(row) in always]
    return sorted(shown, key=lambda row: (-row.record.probability, row.record.path))


def _image(row: Judged, folder: Path, places: dict[str, Path]) -> list:
    """path, sha256, probability, extremes under re-encoding or None, decision of a person or "", URL of the file,
    regions."""
    record = row.record
    extremes = None if record.lowest is None else [record.lowest, record.highest]
    decided = row.band if row.verdict.reason == BY_A_PERSON else ""
    where = None if row.item.in_shard else places.get(record.path, Path(record.path))
    url, regions = _url(where, folder), [_outline(one, record) for one in from_text(record.regions)]
    return [printable_path(record.path), record.sha256, record.probability, extremes, decided, url, regions]


def _outline(region: Region, record: Record) -> list:
    """number of the family, score, corners of the outline for SVG: thousandths of the image's sides."""
    corners = (f"{round(1000 * x / record.width)},{round(1000 * y / record.height)}" for x, y in region.outline)
    return [FAMILIES.index(region.family), region.score, " ".join(corners)]


def _url(path: Path | None, folder: Path) -> str:
    """Relative to the page, so that folder and page can move together; empty if there is no file of its own."""
    if path is None:
        return ""
    try:
        return "/".join(quote(os.fsencode(part)) for part in Path(os.path.relpath(path, folder)).parts)
    except ValueError:  # another drive of Windows
        return path.as_uri()


def _json(data: dict) -> str:
    """JSON that cannot end the script element that it stands in."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _blocks(shown: Sequence[Judged], stores: Stores) -> Iterator[str]:
    """Blocks of lines "thumbnail heat map", both base64."""
    for start in range(0, len(shown), BLOCK):
        records = (stores.find(row.item, (*STAMP, "thumbnail", "heatmap")) for row in shown[start : start + BLOCK])
        lines = (f"{_base64(one.thumbnail)} {_base64(one.heatmap)}" for one in records)
        yield f'<script type="text/plain" id="pictures-{start // BLOCK}">{chr(10).join(lines)}</script>\n'


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def comparison_table(comparisons: Sequence[Comparison]) -> str:
    """A warning for each measure in which the kept images differ, and a row with a chart for every measure."""
    if not comparisons:
        return TOO_FEW
    warnings = "".join(f'<p class="warning">{html.escape(one.sentence())}</p>' for one in comparisons if one.differs)
    none = f"<p>No measure of the kept images differs significantly from the others (p &lt; {ALPHA}).</p>"
    rows = "".join(_comparison_row(one) for one in comparisons)
    return (
        f"{QUESTION}{warnings or none}<table><tr><th>measure</th><th>all images (grey), kept (green)</th>"
        f"<th>change</th><th>p, Holm-corrected</th><th>test of kept against not kept</th></tr>{rows}</table>"
    )


def _comparison_row(one: Comparison) -> str:
    unit = "share" if one.name == "scene group" else "SD"
    mark = ' class="differs"' if one.differs else ""
    cells = (html.escape(one.name), _chart(one), f"{one.change:+.2f} {unit}", f"{one.p_value:.2g}", one.test)
    return f"<tr{mark}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _chart(one: Comparison) -> str:
    """Grey bars: all images; green outline: the kept ones; both as shares, on one scale, from 0."""
    top, step = max(*one.before, *one.after), WIDTH / len(one.before)
    bars = "".join(
        f'<rect x="{n * step + 0.5:.1f}" y="{HEIGHT * (1 - share / top):.1f}" width="{step - 1:.1f}" '
        f'height="{HEIGHT * share / top:.1f}"/>'
        for n, share in enumerate(one.before)
    )
    points = " ".join(
        f"{x:.1f},{HEIGHT * (1 - share / top):.1f}"
        for n, share in enumerate(one.after)
        for x in (n * step, (n + 1) * step)
    )
    ends = f"{one.edges[0]:.3g} to {one.edges[-1]:.3g}" if one.edges else "largest group first"
    return f'<svg width="{WIDTH}" height="{HEIGHT}">{bars}<polyline points="{points}"/></svg><small>{ends}</small>'
