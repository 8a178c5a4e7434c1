"""What the shipped detector finds, where it points, what it calls it, and what it takes for an artifact that is none.

    python benchmarks/ready_detector.py --faces FACES

FACES as in benchmarks/ready_dataset.py, which keeps a third of them apart: no training and no choice has seen those.
Each is scored clean and with every third kind of artifact at a random severity, from seeds that training never saw.
Regions are those of the filter; an artifact counts as found at the checkpoint's threshold.

Results in benchmarks/results/, and the main columns in the model card: ready_kinds.csv (a row a target: ROC-AUC with
its 95 % interval from a bootstrap over faces, share found, pointing game beside the picture's centre, IoU of region and
mask, share of the found ones whose family is right), ready_families.csv (true family x named family) and
ready_false_alarms.csv (clean images of several sorts at the checkpoint's threshold and at those of the default bands).
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from injection_transfer import auc_row, injected_test_set, wins
from project import ROOT
from ready_dataset import split_faces
from scipy.special import expit
from tqdm import tqdm

from artifact_detection.detector.checkpoints import Checkpoint, DefaultBands, load_checkpoint, probabilities
from artifact_detection.detector.device import pick_precision
from artifact_detection.detector.models import Detector
from artifact_detection.detector.regions import coarse_map, find_regions
from artifact_detection.detector.scoring import TorchEngine
from artifact_detection.evaluation.localization import Located, family_confusion
from artifact_detection.evaluation.pointing import hits
from artifact_detection.images.decoding import read_image
from artifact_detection.images.transforms import evaluation_transform, resize
from artifact_detection.injection import FAMILIES, KINDS
from artifact_detection.injection.benign import edit_benignly
from artifact_detection.injection.degradation import recompressed, rescaled
from artifact_detection.intervals import wilson
from artifact_detection.labels import compile_pattern, parse_label
from artifact_detection.system.files import replace_between

BATCH, SCALE = 32, 2  # artifacts go into images SCALE times as large as the network's, as in training
MARKERS = ("<!-- written by benchmarks/ready_detector.py -->", "<!-- end -->")
LOOKALIKES = ROOT / "benchmarks/lookalikes.csv"  # file, what; looked through by hand


def without_map(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits (N,) of a network without a dense head, and a map of one empty cell: it points at nothing."""
    return logits, np.full((len(logits), 1 + len(FAMILIES), 1, 1), -np.inf)


def evidence(model: Detector, images: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Logits (N,) and maps (N, 1 + families, h, w), probabilities, of images (H, W, 3) uint8."""
    device, parts = torch.device("cpu"), []
    engine = TorchEngine(model, device, pick_precision("auto", device))  # as the filter does
    for start in range(0, len(images), BATCH):
        views = [evaluation_transform(image, model.preprocessing) for image in images[start : start + BATCH]]
        batch = torch.stack(views)
        parts.append(engine.evidence(batch) if model.has_regions else without_map(engine(batch)))
    logits, maps = (np.concatenate(values) for values in zip(*parts, strict=True))
    return logits, expit(maps)


def localisation(model: Detector, image: np.ndarray, kind: str, maps: np.ndarray, mask: np.ndarray) -> dict:
    """maps: (1 + families, h, w) probabilities; mask: (H, W) bool. Hit, centre's hit, IoU, the family that is named."""
    preprocessing, view = model.preprocessing, model.preprocessing.view(image)
    regions = find_regions(maps, preprocessing, view, *mask.shape[::-1])
    located = Located(kind, image, mask, np.nan, regions)
    hit, centre = hits(coarse_map(maps, preprocessing, view, preprocessing.size), mask)
    return {"pointing": hit, "centre": centre, "iou": located.iou(), "named": located.named(), "family": KINDS[kind]}


def score_kinds(
    model: Detector, images: list[np.ndarray], kinds: list[str], threshold: float, seed: int, every: int
) -> tuple[pd.DataFrame, np.ndarray]:
    """A row an image and kind, and its comparisons with the clean images, (rows, N).

    threshold: a logit. every: a kind goes into every so manieth image, the next kind into the images after those.
    """
    clean, _ = evidence(model, images)
    rows, pairs = [], []
    for number, kind in enumerate(tqdm(kinds, "kinds", disable=None)):
        bases = range(number % every, len(images), every)
        injected, severities, masks = injected_test_set([images[base] for base in bases], kind, seed)
        logits, maps = evidence(model, injected)
        pairs.append(wins(logits, clean))
        items = zip(bases, injected, logits, severities, maps, masks, strict=True)
        for base, image, logit, severity, map_, mask in items:
            row = {"base": base, "kind": kind, "severity": f"severity {severity}", "found": logit >= threshold}
            rows.append(row | localisation(model, image, kind, map_, mask))
    return pd.DataFrame(rows), np.concatenate(pairs)


def summary(part: pd.DataFrame, pairs: np.ndarray, target: str, seed: int) -> dict:
    found = part[part["found"]]
    shares = {name: part[name].mean() for name in ("found", "pointing", "centre", "iou")}
    pointing = dict(zip(("pointing_low", "pointing_high"), wilson(int(part["pointing"].sum()), len(part)), strict=True))
    named = {"family_right": (found["named"] == found["family"]).mean()}
    return {
        "target": target,
        **auc_row(pairs[part.index], part["base"].to_numpy(), seed),
        **shares,
        **pointing,
        **named,
    }


def kinds_table(rows: pd.DataFrame, pairs: np.ndarray, seed: int) -> pd.DataFrame:
    parts = [("all", rows)]
    for column in ("severity", "family", "kind"):
        parts += list(rows.groupby(column, sort=column == "severity"))
    return pd.DataFrame([summary(part, pairs, target, seed) for target, part in parts])


def clean_sets(paths: list[Path], images: list[np.ndarray], seed: int) -> dict[str, list[np.ndarray]]:
    """Clean images of several sorts."""

    def edited(name: str) -> list[np.ndarray]:
        rngs = (np.random.default_rng((seed, 2**42, row)) for row in range(len(images)))
        return [edit_benignly(image, rng, edit=name) for image, rng in zip(images, rngs, strict=True)]

    sets = {
        "clean faces": images,
        "… as JPEG, quality 60": [recompressed(image, 60) for image in images],
        "… through half the size": [rescaled(image, 0.5) for image in images],
        "… with a patch of blur, noise, JPEG or light": edited("patch"),
        "… blended with itself": edited("self_blend"),
        "… with lettering behind the head": edited("sign"),
    }
    if LOOKALIKES.exists():
        row = {path.name: number for number, path in enumerate(paths)}
        table = pd.read_csv(LOOKALIKES)
        table = table[table["file"].isin(row)]  # another folder of faces has others, and --limit fewer
        for what, part in table.groupby("what"):
            sets[f"look-alikes: {what}"] = [images[row[name]] for name in part["file"]]
        sets["look-alikes: all"] = [images[row[name]] for name in table["file"].unique()]
    return sets


def enlarged(paths: list[Path], model: Detector) -> list[np.ndarray]:
    """Faces as large as artifacts are put into them."""
    return [resize(read_image(path), SCALE * model.preprocessing.size) for path in paths]


def thresholds(checkpoint: Checkpoint) -> dict[str, float]:
    """The probabilities from which an image is called artifacts: the checkpoint's, and those of its default bands."""
    bands = checkpoint.default_bands or DefaultBands(checkpoint.threshold, checkpoint.threshold, "")
    return {"default": checkpoint.threshold, "1 %": bands.reject, "10 %": bands.keep}


def false_alarms(model: Detector, checkpoint: Checkpoint, sets: dict[str, list[np.ndarray]]) -> pd.DataFrame:
    """A row a set and threshold: how many are at or above it."""
    rows = []
    for name, images in sets.items():
        found = probabilities(evidence(model, images)[0], checkpoint.temperature)
        for which, threshold in thresholds(checkpoint).items():
            alarms = int((found >= threshold).sum())
            low, high = wilson(alarms, len(images))
            rows.append({"images": name, "threshold": which, "n": len(images), "false_alarms": alarms,
                         "share": alarms / len(images), "low": low, "high": high})  # fmt: skip
    return pd.DataFrame(rows)


def drawn_portraits(model: Detector, folder: Path, seed: int) -> dict:
    """The row of test_data/test: ROC-AUC of its artifacts against its clean portraits."""
    paths = sorted(folder.glob("*.png"))
    labels = np.array([parse_label(path.name, compile_pattern()) for path in paths])
    logits, _ = evidence(model, [read_image(path) for path in paths])
    return {"target": "test_data/test", **unpaired(logits[labels == 1], logits[labels == 0], seed)}


def unpaired(artifacts: np.ndarray, clean: np.ndarray, seed: int) -> dict:
    """ROC-AUC of two sets of logits, with an interval from resampling both."""
    rng, pairs = np.random.default_rng(seed), wins(artifacts, clean)
    draws = [pairs[rng.integers(len(pairs), size=len(pairs))][:, rng.integers(len(clean), size=len(clean))].mean()
             for _ in range(1000)]  # fmt: skip
    low, high = np.quantile(draws, [0.025, 0.975])
    return {"n": len(pairs), "roc_auc": pairs.mean(), "low": low, "high": high}


def markdown(table: pd.DataFrame) -> str:
    lines = [list(table.columns), ["---"] * len(table.columns), *table.to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def share(value: float) -> str:
    if np.isnan(value):
        return ""
    return f"{value:.3f}".lstrip("0") if value < 1 else "1.000"


def with_interval(table: pd.DataFrame, column: str, low: str = "low", high: str = "high") -> list[str]:
    rows = zip(table[column], table[low], table[high], strict=True)
    return ["" if np.isnan(value) else f"{share(value)} ({share(start)} to {share(end)})" for value, start, end in rows]


def card_tables(kinds: pd.DataFrame, families: pd.DataFrame, alarms: pd.DataFrame) -> str:
    """The three tables as the model card shows them."""
    shown = pd.DataFrame(
        {"artifacts": kinds["target"], "images": kinds["n"], "ROC-AUC": with_interval(kinds, "roc_auc")}
    )
    shown["pointing game"] = with_interval(kinds, "pointing", "pointing_low", "pointing_high")
    for name, column in (("centre", "centre"), ("IoU", "iou"), ("found", "found"), ("family right", "family_right")):
        shown[name] = kinds[column].map(share)
    wide = alarms.assign(text=with_interval(alarms, "share"))
    wide = wide.pivot_table(index=["images", "n"], columns="threshold", values="text", aggfunc="first", sort=False)
    named = families.rename(columns={"family": "true family, of what is found"})
    return "\n\n".join(map(markdown, (shown, named, wide.reset_index())))


def write_card(tables: str, card: Path) -> None:
    """Put the tables between the card's two markers."""
    replace_between(card, *MARKERS, f"{tables}\n")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="folder of clean generated faces")
    parser.add_argument("--model", type=Path, default=ROOT / "pretrained/detector.pt")
    parser.add_argument("--limit", type=int, default=0, help="so many test faces only (a trial)")
    parser.add_argument(
        "--family", choices=FAMILIES, help="this family only, and no card: for a model trained --inject-without it"
    )
    parser.add_argument("--every", type=int, default=3, help="put each kind into every so manieth face only")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results")
    parser.add_argument("--card", type=Path, help="model card that gets the tables (default: the one beside the model)")
    return parser.parse_args()


def main() -> int:
    options = parse_arguments()
    model, checkpoint = load_checkpoint(options.model)
    paths = split_faces(options.faces)[1][: options.limit or None]
    images = enlarged(paths, model)
    threshold = checkpoint.temperature * np.log(checkpoint.threshold / (1 - checkpoint.threshold))
    chosen = [kind for kind, family in KINDS.items() if family == options.family or not options.family]
    rows, pairs = score_kinds(model, images, chosen, threshold, options.seed, options.every)
    kinds = kinds_table(rows, pairs, options.seed)
    options.out.mkdir(exist_ok=True)
    if options.family:
        kinds.to_csv(options.out / f"ready_only_{options.family}.csv", index=False, float_format="%.4f")
        print(kinds.round(3).to_string(index=False))
        return 0
    portraits = pd.DataFrame([drawn_portraits(model, ROOT / "test_data/test", options.seed)])
    kinds = pd.concat([kinds, portraits], ignore_index=True)
    families = family_confusion(rows)
    alarms = false_alarms(model, checkpoint, clean_sets(paths, images, options.seed))
    families = families.rename_axis(columns=None).reset_index()
    card = options.card or options.model.parent / "README.md"
    if card.exists():
        write_card(card_tables(kinds, families, alarms), card)
    for name, table in (("kinds", kinds), ("families", families), ("false_alarms", alarms)):
        table.to_csv(options.out / f"ready_{name}.csv", index=False, float_format="%.4f")
        print(table.round(3).to_string(index=False), end="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
