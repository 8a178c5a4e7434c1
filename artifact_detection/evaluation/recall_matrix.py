"""The recall matrix: which kinds of artifact, at which severity, a detector finds in the user's own clean images.

    python -m artifact_detection.evaluation.recall_matrix runs/demo/best.pt --images FACES

Exit codes: 0 done; 1 done, but some files could not be used (listed); 2 wrong usage, or nothing usable.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from tqdm import tqdm

from artifact_detection import figures
from artifact_detection.detector.checkpoints import CheckpointError
from artifact_detection.detector.scoring import load_predictor
from artifact_detection.images.faces import find_face
from artifact_detection.injection import KINDS, SEVERITIES, inject
from artifact_detection.injection.dataset import InjectionError, name_problems, named_kinds, pick_images
from artifact_detection.intervals import wilson
from artifact_detection.system.arguments import module_parser
from artifact_detection.system.ownership import refuse_named, write_named

TABLE, PICTURE = "recall_matrix.csv", "recall_matrix.png"
CLEAN_ROW = "clean"  # the row that holds the false alarms on the same images, severity 0

Predictor = Callable[[Sequence[np.ndarray]], np.ndarray]


def recall_matrix(
    predict: Predictor, images: Sequence[np.ndarray], kinds: Iterable[str] = tuple(KINDS),
    severities: Iterable[int] = SEVERITIES, rng: np.random.Generator | None = None, threshold: float = 0.5,
) -> pd.DataFrame:  # fmt: skip
    """Put every kind at every severity into every image, and count what is detected.

    predict: a list of (H, W, 3) uint8 RGB images -> P(artifact), (N,). images: clean ones. threshold: a probability
    at or above it counts as detected.
    Returns a row a cell: kind, severity, n, detected, recall, low, high (Wilson, 95 %). The first row, kind "clean"
    and severity 0, holds the untouched images: there "recall" is the false alarm rate, without which no recall
    means anything.
    """
    rng = rng or np.random.default_rng(0)
    cells = [(kind, severity) for kind in kinds for severity in severities]
    faces = [find_face(image) for image in images]
    rows = [_row(CLEAN_ROW, 0, predict(list(images)), threshold)]
    for kind, severity in tqdm(cells, "recall matrix", unit="cell", disable=None):
        seeds = rng.integers(2**63, size=len(images))
        injected = [
            inject(image, kind, severity, np.random.default_rng(seed), face)[0]
            for image, seed, face in zip(images, seeds, faces, strict=True)
        ]
        rows.append(_row(kind, severity, predict(injected), threshold))
    return pd.DataFrame(rows)


def _row(kind: str, severity: int, probabilities: np.ndarray, threshold: float) -> dict:
    n, detected = len(probabilities), int(np.count_nonzero(np.asarray(probabilities) >= threshold))
    low, high = wilson(detected, n)
    recall = detected / n if n else float("nan")
    return dict(kind=kind, severity=severity, n=n, detected=detected, recall=recall, low=low, high=high)


def plot_recall_matrix(table: pd.DataFrame) -> Figure:
    """A recall matrix as a heat map, families apart, each cell with its recall and interval in per cent."""
    cells = table[table["kind"] != CLEAN_ROW]
    kinds, severities = cells["kind"].unique(), cells["severity"].unique()
    grid = cells.pivot(index="kind", columns="severity", values="recall").loc[kinds, severities]
    figure = Figure(figsize=(2.6 + 1.3 * len(severities), 1.5 + 0.3 * len(kinds)), layout="constrained")
    axis = figure.subplots()
    axis.imshow(grid, cmap="RdYlGn", vmin=0, vmax=1, aspect="auto")
    for cell in cells.itertuples():
        text = f"{100 * cell.recall:.0f}  ({100 * cell.low:.0f}–{100 * cell.high:.0f})"  # noqa: RUF001
        place = list(severities).index(cell.severity), list(kinds).index(cell.kind)
        axis.text(*place, text, ha="center", va="center", fontsize=8)
    axis.set_xticks(range(len(severities)), severities)
    axis.set_yticks(range(len(kinds)), [kind.replace("_", " ") for kind in kinds], fontsize=8)
    for row in range(1, len(kinds)):
        if KINDS.get(kinds[row]) != KINDS.get(kinds[row - 1]):
            axis.axhline(row - 0.5, color="white", linewidth=3)
    axis.set_xlabel("severity")
    title = f"detected, % (95 % interval), n = {table['n'].max()} a cell"
    for clean in table[table["kind"] == CLEAN_ROW].itertuples():
        title += f"\nfalse alarms: {clean.detected} of {clean.n}"
    axis.set_title(title, fontsize=9)
    return figure


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = module_parser("evaluation.recall_matrix", __doc__)
    add = parser.add_argument
    add("checkpoint", type=Path, help="a best.pt")
    add("--images", type=Path, required=True, help="folder with clean images, searched through")
    add("--out", type=Path, help="for recall_matrix.csv and .png (default: beside the checkpoint)")
    add("--kinds", nargs="+", default=list(KINDS), metavar="KIND", help="kinds or families")
    add("--severity", nargs="+", type=int, choices=SEVERITIES, default=list(SEVERITIES))
    add("--count", type=int, default=50, help="images in each cell (default %(default)s)")
    add("--seed", type=int, default=0)
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> int:
    """Measure a checkpoint; write recall_matrix.csv and .png; return the exit code."""
    scorer, kinds = load_predictor(options.checkpoint), named_kinds(options.kinds)
    images, problems = pick_images(options.images, options.count, options.seed)
    rng, threshold = np.random.default_rng(options.seed), scorer.checkpoint.threshold
    out = options.out or options.checkpoint.parent
    out.mkdir(parents=True, exist_ok=True)
    refuse_named(out / TABLE, out / PICTURE)
    table = recall_matrix(scorer.probabilities, images, kinds, options.severity, rng, threshold)
    write_named(out / TABLE, table.to_csv(index=False))
    write_named(out / PICTURE, figures.png(plot_recall_matrix(table)))
    print(table.round(3).to_string(index=False))
    print(f"written to {out / TABLE} and .png; threshold {threshold:.3f}")
    return name_problems(problems)


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments)
    try:
        return run(options)
    except (InjectionError, CheckpointError, OSError) as error:
        print(f"recall_matrix: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
