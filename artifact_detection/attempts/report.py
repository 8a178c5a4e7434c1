"""The tables of model-training-attempts/README.md, written between two markers from results.csv and oof/."""

from pathlib import Path

import numpy as np
import pandas as pd

from artifact_detection.attempts import analysis
from artifact_detection.attempts.analysis import ReportError
from artifact_detection.attempts.catalogue import GROUPS, RECIPE, Attempt, read_attempts
from artifact_detection.attempts.protocols import PROTOCOLS, Protocol, plan
from artifact_detection.attempts.results import Results
from artifact_detection.evaluation.findings import SIGNIFICANT
from artifact_detection.system.files import replace_between

BEGIN, END = "<!-- written by python -m artifact_detection.attempts --report -->", "<!-- end of what is written -->"
TWO_BY_TWO = {
    "28-bce-oversampling-none": "neither: cross-entropy, no oversampling",
    "27-bce": "oversampling: cross-entropy, 1:1",
    "20-oversampling-none": "focal loss: gamma 2, no oversampling",
    RECIPE: "both: the recipe",
}
EFFECTS = {  # each the mean of pairs: with it, without it
    "oversampling, with either loss": [("27-bce", "28-bce-oversampling-none"), (RECIPE, "20-oversampling-none")],
    "focal loss, with and without oversampling":
        [("20-oversampling-none", "28-bce-oversampling-none"), (RECIPE, "27-bce")],
    "as many steps without oversampling": [("34-oversampling-none-longer", "20-oversampling-none")],
}  # fmt: skip
COMMAND = "`python -m artifact_detection.attempts --protocol {protocol} --only {name}`"


def write_report(folder: Path) -> None:
    """Replace what stands between the markers of the folder's README. Raises ReportError if they are not there."""
    try:
        replace_between(folder / "README.md", BEGIN, END, render(folder))
    except ValueError as error:
        raise ReportError(str(error)) from error


def render(folder: Path) -> str:
    """All protocols' tables as Markdown; the same text for the same results."""
    attempts, results = read_attempts(folder), Results(folder)
    parts = [render_protocol(protocol, attempts, results) for protocol in reversed(PROTOCOLS.values())]
    return "\n".join(parts)


def render_protocol(protocol: Protocol, attempts: list[Attempt], results: Results) -> str:
    title = f"### Protocol {protocol.name}\n\n{protocol.text[0].upper()}{protocol.text[1:]}.\n"
    board = analysis.analyse(results, protocol, attempts)
    if board.empty:
        command = COMMAND.format(protocol=protocol.name, name="'*'")
        return f"{title}\nNot run yet, and nothing is claimed for it: {command}.\n"
    sections = [title, progress(protocol, attempts, results), circumstances(protocol, results), table(board, protocol)]
    sections += [about_seeds(board, protocol, analysis.recipe_by_seed(results, protocol)), winner(board)]
    sections += [two_by_two(results.read(protocol.name)), main_effects(results, protocol), by_group(board)]
    return "\n".join(section for section in sections if section)


def progress(protocol: Protocol, attempts: list[Attempt], results: Results) -> str:
    jobs, left = plan(protocol, attempts), unfinished(protocol, attempts, results)
    out = [attempt.name for attempt in attempts if protocol.left_out(attempt)]
    text = f"{len(jobs) - len(left)} of {len(jobs)} trainings (attempt and seed, on all folds) done"
    text += f"; left: {', '.join(left)}. " if left else ". "
    return text + (f"Left to the other protocol, for want of weights: {', '.join(out)}.\n" if out else "\n")


def unfinished(protocol: Protocol, attempts: list[Attempt], results: Results) -> list[str]:
    return [job.name for job in plan(protocol, attempts) if not results.has(job)]


def circumstances(protocol: Protocol, results: Results) -> str:
    """On what the rows rest."""
    rows = results.read(protocol.name)
    first = rows.iloc[0]
    images = results.read_predictions(protocol.name, first["attempt"], int(first["seed"]))
    once = rows.drop_duplicates(["attempt", "seed"])
    return (
        f"{len(images)} images, {int(images['label'].sum())} artifacts, in {images['group'].nunique()} groups; "
        f"{rows['fold'].max()} grouped folds; {rows['seconds'].sum() / 60:.0f} minutes of training on "
        f"{', '.join(sorted(rows['device'].unique()))}; at most {once['peak_memory_mb'].max() / 1000:.1f} GB; "
        f"commits {', '.join(sorted(rows['commit'].unique()))}.\n"
    )


def table(board: pd.DataFrame, protocol: Protocol) -> str:
    """Best AP first."""
    lines = [
        "| attempt | changes | seeds | AP (95 %) | minus the recipe (95 %) | p, Holm | ROC-AUC | F1 "
        "| recall at 5 % false alarms | s a fold | command |",
        "| --- " * 11 + "|",
    ]
    for name, row in board.iterrows():
        fresh = " fresh" if name in protocol.chosen and row["seeds"] > 1 else ""
        ap = f"{row['ap']:.3f} ({row['low']:.3f} to {row['high']:.3f})"
        cells = [name, row["changes"], f"{row['seeds']:.0f}{fresh}", ap]
        cells += [difference(row), "" if np.isnan(row["p"]) else f"{row['p']:.2g}"]
        cells += [f"{row[f'oof_{metric}']:.3f}" for metric in ("roc_auc", "f1", "recall_at_5")]
        cells += [f"{row['seconds']:.0f}", COMMAND.format(protocol=protocol.name, name=name)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def about_seeds(board: pd.DataFrame, protocol: Protocol, recipe: dict[int, float]) -> str:
    """What the choice of seeds does to the differences."""
    first, mean = recipe.get(0, np.nan), np.mean(list(recipe.values()))
    lines = []
    if len(recipe) > 1 and (board["seeds"] == 1).any():
        lines = [
            "Rows with one seed are compared with the recipe's run of that seed, on the same folds. Its AP there is",
            f"{first:.3f}, in the mean of {len(recipe)} seeds {mean:.3f}: against the mean add",
            f"{first - mean:+.3f} to each difference.",
        ]
    if fresh := [name for name in protocol.chosen if name in board.index and board.loc[name, "seeds"] > 1]:
        lines.append(f"Fresh: without the seed for which {', '.join(fresh)} got more of them.")
    return "".join(f"{line}\n" for line in lines)


def difference(row: pd.Series) -> str:
    if np.isnan(row["difference"]):
        return ""
    return f"{row['difference']:+.3f} ({row['difference_low']:+.3f} to {row['difference_high']:+.3f})"


def best_recipe_setting(board: pd.DataFrame) -> str:
    """The attempt with the highest AP among those that keep the recipe's network."""
    return board.index[board["group"] != "networks"][0]


def winner(board: pd.DataFrame) -> str:
    if len(board) < 2:
        return ""
    name = best_recipe_setting(board)
    if name == RECIPE:
        return f"Highest AP among the settings of one network: **{RECIPE}**.\n"
    row = board.loc[name]
    shown = "shown" if row["p"] < SIGNIFICANT else "not shown"
    return (
        f"Highest AP among the settings of one network: **{name}** ({row['changes']}), {difference(row)} against the "
        f"recipe, {shown} (p {row['p']:.2g} after Holm).\n"
    )


def two_by_two(rows: pd.DataFrame) -> str:
    """Focal loss and oversampling, alone and together: mean and standard deviation over seeds."""
    metrics = {"oof_ap": "AP", "oof_f1": "F1", "oof_recall_at_5": "recall at 5 % false alarms"}
    lines = [f"| {' | '.join(['', 'attempt', 'seeds', *metrics.values()])} |", "| --- " * (3 + len(metrics)) + "|"]
    for name, text in TWO_BY_TWO.items():
        seeds = rows[rows["attempt"] == name].groupby("seed")[list(metrics)].mean()
        if len(seeds) < 2:
            return ""
        cells = [f"{seeds[metric].mean():.3f} ± {seeds[metric].std():.3f}" for metric in metrics]
        lines.append(f"| {text} | {name} | {len(seeds)} | {' | '.join(cells)} |")
    title = "Focal loss and oversampling, alone and together; mean ± standard deviation over seeds:\n\n"
    return title + "\n".join(lines) + "\n"


def main_effects(results: Results, protocol: Protocol) -> str:
    """What oversampling and focal loss change in AP, on average over the other and over seeds."""
    found = analysis.effects(results, protocol, EFFECTS)
    lines = [
        f"- {name}: {difference(row)}, p {row['p']:.2g} (Holm's), the mean of {row['runs']:.0f} paired differences"
        for name, row in found.iterrows()
    ]
    return "What it changes in AP:\n\n" + "\n".join(lines) + "\n" if lines else ""


def by_group(board: pd.DataFrame) -> str:
    lines = []
    for group in GROUPS:
        rows = board[board["group"] == group]
        better, worse = (rows[(rows["p"] < SIGNIFICANT) & (rows["difference"] * sign > 0)].index for sign in (1, -1))
        open_ = rows.index.difference([*better, *worse], sort=False)
        parts = {"better than the recipe": better, "worse": worse, "no difference shown": open_}
        texts = [f"{text}: {', '.join(names)}" for text, names in parts.items() if len(names)]
        if texts:
            lines.append(f"- **{group}**: {'; '.join(texts)}.")
    return "\n".join(lines) + "\n" if lines else ""
