"""The shipped detector on what it was not taught from: other styles than photographs, and flaws that nobody injected.

    python benchmarks/ready_unlike.py --faces FACES

FACES as in benchmarks/ready_detector.py, and only those that no training and no choice has seen.

Styles: every face drawn in a style by a filter: those that training may use (artifact_detection/injection/style.py) and
three that it never does. ROC-AUC of one artifact a face, put in before or after the face is drawn so, against the
clean faces in that style; and the share of the clean ones that are false alarms.

Flaws: benchmarks/real_flaws.csv holds what two readers found wrong in the same faces as the generator left them, blind
to the scores and to each other: 1 slight or doubtful, 2 plain. Both readers were passes of a vision-language model over
sheets of twelve faces, not people. ROC-AUC against the faces where neither found anything.

Results in benchmarks/results/ready_styles.csv and ready_flaws.csv, and in the model card.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from project import ROOT
from ready_dataset import split_faces
from ready_detector import enlarged, evidence, markdown, share, thresholds, unpaired, with_interval
from tqdm import tqdm

from artifact_detection.detector.checkpoints import Checkpoint, load_checkpoint, probabilities
from artifact_detection.detector.models import Detector
from artifact_detection.images.decoding import read_image
from artifact_detection.injection import KINDS, SEVERITIES, inject
from artifact_detection.injection.style import STYLES
from artifact_detection.system.files import replace_between

MARKERS = ("<!-- written by benchmarks/ready_unlike.py -->", "<!-- end of unlike -->")
FLAWS = ROOT / "benchmarks/real_flaws.csv"  # file, first, second, what; every other face: 0 and 0
UNSEEN: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "water colour": lambda image: cv2.stylization(image, sigma_s=40, sigma_r=0.45),
    "coloured pencil": lambda image: cv2.pencilSketch(image, sigma_s=40, sigma_r=0.07, shade_factor=0.05)[1],
    "every detail stressed": lambda image: cv2.detailEnhance(image, sigma_s=10, sigma_r=0.3),
}


def styles() -> dict[str, Callable[[np.ndarray, int], np.ndarray]]:
    """Name -> what draws an image (H, W, 3) uint8 so; the number is that of the face."""
    taught = {
        f"{name.replace('_', ' ')}, taught": lambda image, row, draw=draw: draw(
            image, np.random.default_rng((row, 2**44))
        )
        for name, draw in STYLES.items()
    }
    unseen = {f"{name}, unseen": lambda image, _, draw=draw: draw(image) for name, draw in UNSEEN.items()}
    return {"photograph": lambda image, _: image} | taught | unseen


def with_artifact(image: np.ndarray, row: int) -> np.ndarray:
    """One artifact a face, every kind as often as the next, at a random severity."""
    rng = np.random.default_rng((row, 2**45))
    return inject(image, list(KINDS)[row % len(KINDS)], int(rng.choice(SEVERITIES)), rng)[0]


def style_row(
    name: str, draw: Callable, images: list[np.ndarray], injected: list[np.ndarray], model: Detector,
    checkpoint: Checkpoint,
) -> dict:  # fmt: skip
    """injected: the same faces, each with its artifact."""
    drawn, drawn_too = ([draw(image, row) for row, image in enumerate(part)] for part in (images, injected))
    painted_over = [with_artifact(image, row) for row, image in enumerate(drawn)]
    clean, over, within = (evidence(model, part)[0] for part in (drawn, painted_over, drawn_too))
    alarms = {
        which: float((probabilities(clean, checkpoint.temperature) >= threshold).mean())
        for which, threshold in thresholds(checkpoint).items()
    }
    return {"style": name, **unpaired(over, clean, 0), "drawn_too": unpaired(within, clean, 0)["roc_auc"], **alarms}


def flaw_rows(paths: list[Path], model: Detector) -> pd.DataFrame:
    """ROC-AUC of the faces with a flaw against those where neither reader found one."""
    found = pd.read_csv(FLAWS, index_col="file").reindex([path.name for path in paths])
    first, second = (found[reader].fillna(0).to_numpy() for reader in ("first", "second"))
    logits, _ = evidence(model, [read_image(path) for path in paths])
    none = logits[(first == 0) & (second == 0)]
    sets = {
        "plain to both": (first == 2) & (second == 2),
        "plain to one at least": np.maximum(first, second) == 2,
        "seen by both": (first > 0) & (second > 0),
        "seen by one only": (first > 0) != (second > 0),
    }
    return pd.DataFrame(
        [{"flaw": name, **unpaired(logits[chosen], none, 0)} for name, chosen in sets.items() if chosen.any()]
    )


def card_tables(drawn: pd.DataFrame, flaws: pd.DataFrame) -> str:
    shown = pd.DataFrame({"style": drawn["style"], "ROC-AUC": with_interval(drawn, "roc_auc")})
    shown["artifact drawn so too"] = drawn["drawn_too"].map(share)
    for which in ("default", "1 %", "10 %"):
        shown[f"false alarms, {which}"] = drawn[which].map(share)
    found = pd.DataFrame({"flaw": flaws["flaw"], "faces": flaws["n"], "ROC-AUC": with_interval(flaws, "roc_auc")})
    return f"{markdown(shown)}\n\n{markdown(found)}"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="folder of clean generated faces")
    parser.add_argument("--model", type=Path, default=ROOT / "pretrained/detector.pt")
    parser.add_argument("--every", type=int, default=1, help="every so manieth face only (a trial: no results written)")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results")
    return parser.parse_args()


def main() -> int:
    options = parse_arguments()
    model, checkpoint = load_checkpoint(options.model)
    paths = split_faces(options.faces)[1][:: options.every]
    images = enlarged(paths, model)
    injected = [with_artifact(image, row) for row, image in enumerate(images)]
    named = tqdm(styles().items(), "styles", disable=None)
    drawn = pd.DataFrame([style_row(name, draw, images, injected, model, checkpoint) for name, draw in named])
    flaws = flaw_rows(paths, model)
    for name, table in (("styles", drawn), ("flaws", flaws)):
        print(table.round(3).to_string(index=False), end="\n\n")
        if options.every == 1:
            table.to_csv(options.out / f"ready_{name}.csv", index=False, float_format="%.4f")
    card = options.model.parent / "README.md"
    if options.every == 1 and card.exists():
        replace_between(card, *MARKERS, f"{card_tables(drawn, flaws)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
