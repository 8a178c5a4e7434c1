"""The audit as one HTML file that needs nothing else: verdicts first, then the pictures behind them."""

import base64
import html
import io
from collections.abc import Callable

from matplotlib.figure import Figure

from artifact_detection.audit import plots
from artifact_detection.audit.checks import Check, contradicting_links, leaked_links, outliers
from artifact_detection.audit.dataset import Audit
from artifact_detection.images.measure import MEASURES
from artifact_detection.system.paths import printable

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; width: 100% } td, th { padding: .35rem .6rem; text-align: left; vertical-align: top }
tr { border-bottom: 1px solid #ddd } img { max-width: 100% } code { overflow-wrap: anywhere }
h2 { margin-top: 2.2rem; font-size: 1.15rem }
"""


def render(audit: Audit, checks: list[Check]) -> str:
    title = f"Audit of {html.escape(printable(audit.folder.resolve().name))}"
    rows = "".join(_row(check) for check in checks)
    sections = "".join(_section(heading, plot) for heading, plot in _figures(audit).items())
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"<h1>{title}</h1><p>{len(audit.table)} image files.</p>"
        f"<table><tr><th>check<th>verdict<th>finding</tr>{rows}</table>{_bad_files(audit)}{sections}</html>"
    )


def _figures(audit: Audit) -> dict[str, Callable[[], Figure]]:
    """Heading -> figure, for what there is to show."""
    if audit.usable.empty:
        return {}
    shown = ("brightness", "contrast", "sharpness")
    figures = {
        "Images per split and class": lambda: plots.plot_balance(audit),
        "Sizes and formats": lambda: plots.plot_sizes(audit),
        "Brightness, contrast and sharpness by class": lambda: plots.plot_measures(audit, shown),
        "Samples of every split and class": lambda: plots.plot_rows(audit, plots.samples(audit), most=48),
    }
    pairs = {
        "Duplicates between splits": leaked_links(audit),
        "Duplicates with different labels": contradicting_links(audit),
        "Duplicates": audit.links,
    }
    for heading, links in pairs.items():
        if len(links):
            figures[heading] = lambda links=links: plots.plot_pairs(audit, links)
    for measure in MEASURES:
        rows = outliers(audit.usable, measure)
        if len(rows):
            figures[f"Outliers by {measure}"] = lambda rows=rows, measure=measure: plots.plot_rows(audit, rows, measure)
    return figures


def _row(check: Check) -> str:
    colour = plots.VERDICT_COLOURS[check.verdict]
    return (
        f'<tr style="background:{colour}"><td>{html.escape(check.name)}<td><b>{check.verdict}</b>'
        f"<td>{html.escape(check.finding)}</tr>"
    )


def _section(heading: str, plot: Callable[[], Figure]) -> str:
    buffer = io.BytesIO()
    plot().savefig(buffer, format="jpeg", dpi=100, pil_kwargs={"quality": 88})
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<h2>{html.escape(heading)}</h2><img alt="{html.escape(heading)}" src="data:image/jpeg;base64,{data}">'


def _bad_files(audit: Audit) -> str:
    bad = audit.table[audit.table["error"] != ""]
    unusable = _names("Files that cannot be used", dict(zip(bad["name"], bad["error"], strict=True)))
    return unusable + _names("What is left out", audit.listing.left_out)


def _names(heading: str, reasons: dict[str, str]) -> str:
    if not reasons:
        return ""
    items = (f"<li><code>{html.escape(name)}</code>: {html.escape(why)}" for name, why in reasons.items())
    return f"<h2>{heading}</h2><ul>{''.join(items)}</ul>"
