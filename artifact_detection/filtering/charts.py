"""The report's section on what filtering does to the dataset, as static HTML and SVG."""

import html
from collections.abc import Sequence

from artifact_detection.filtering.shift import ALPHA, Comparison

WIDTH, HEIGHT = 220, 56
QUESTION = "<p>Does it throw out one kind of image, such as the dark ones? The kept against the others:</p>"
NOTHING = "<p>There are too few kept, or too few other images to compare.</p>"


def comparison_table(comparisons: Sequence[Comparison]) -> str:
    """A warning for each measure in which the kept images differ, and a row with a chart for every measure."""
    if not comparisons:
        return NOTHING
    warnings = "".join(f'<p class="warning">{html.escape(one.sentence())}</p>' for one in comparisons if one.differs)
    none = f"<p>No measure of the kept images differs significantly from the others (p &lt; {ALPHA}).</p>"
    rows = "".join(_row(one) for one in comparisons)
    return (
        f"{QUESTION}{warnings or none}<table><tr><th>measure</th><th>all images (grey), kept (green)</th>"
        f"<th>change</th><th>p, Holm-corrected</th><th>test of kept against not kept</th></tr>{rows}</table>"
    )


def _row(one: Comparison) -> str:
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
