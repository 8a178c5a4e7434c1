"""Does a detector that was trained on injected artifacts only rank unseen ones above clean images?

    python benchmarks/injection_transfer.py --images FACES --weights mobilenet_v2.pth
    python benchmarks/injection_transfer.py --images FACES --weights mobilenet_v2.pth --leave-out all

FACES is a folder of clean portraits (the published numbers: SFHQ-T2I and SD3 portraits, MIT and CC0). Near-duplicate
bases are grouped and split. Each epoch shows every training image with and without an artifact, injected on the fly.
The last epoch is scored once: every test base clean, and once with each kind at a random severity, from seeds that
training never saw. With --leave-out, a model is also trained without each named family and scored on that family;
with --only-left-out, the training on all families is left away.

Results: results/injection_transfer.csv, a row per training and target with ROC-AUC and its 95 % interval (bootstrap
over bases, logit scale). The rows of other trainings stay in it, so the parts can run one by one.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from project import RESULTS
from tqdm import tqdm

from artifact_detection.detector import models, weights
from artifact_detection.detector.device import pick_device, pick_precision
from artifact_detection.detector.scoring import TorchEngine, run_all, usual_batch
from artifact_detection.images.decoding import read_image
from artifact_detection.images.transforms import Preprocessing, evaluation_transform, resize
from artifact_detection.injection import FAMILIES, KINDS, SEVERITIES, inject
from artifact_detection.injection.dataset import list_bases
from artifact_detection.intervals import logit_interval
from artifact_detection.labels import CLEAN
from artifact_detection.system.arguments import script_parser
from artifact_detection.system.threads import cores
from artifact_detection.training import data, sampling
from artifact_detection.training.losses import FocalLoss
from artifact_detection.training.painting import Painting
from artifact_detection.training.schedules import warmup_cosine
from artifact_detection.training.trainer import OPTIMIZERS, Trainer

ARCH, SIZE, EPOCHS, LEARNING_RATE, BATCH = "mobilenet_v2", 224, 8, 5e-4, 32
TEST_SHARE = 1 / 3
REPLICATES = 1000
SEED = 0
TABLE = RESULTS / "injection_transfer.csv"


def load(folder: Path, size: int, limit: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    """Images (size, size, 3) uint8, all or a random `limit` of them, and their near-duplicate groups (N,)."""
    paths, groups, _ = list_bases(folder)
    chosen = np.sort(np.random.default_rng(SEED).permutation(len(paths))[: limit or None])
    return [resize(read_image(paths[row]), size) for row in chosen], groups[chosen]


def train(images: list[np.ndarray], weights_file: Path, kinds: list[str]) -> models.Detector:
    """Fine-tune on injected artifacts; the last epoch counts, nothing is chosen on anything."""
    torch.manual_seed(SEED)
    model = weights.build_model(ARCH, str(weights_file), Preprocessing(SIZE))
    batches = sampling.EpochBatches(np.zeros(len(images), int), BATCH, "none", SEED, inject=0.5)
    table = pd.DataFrame({"path": "", "label": CLEAN, "row": range(len(images))})
    clean = data.ImageSet(Path(), table, np.stack(images), {})
    samples = sampling.TrainingImages(clean, "light", model.preprocessing, Painting(kinds), unfitted=True)
    device, workers = pick_device(), sampling.pick_workers(-1, cores())
    trainer = Trainer(
        model.to(device),
        sampling.training_loader(samples, batches, workers, pin=device.type == "cuda"),
        FocalLoss(gamma=0),
        OPTIMIZERS["adam"](model.parameters(), lr=LEARNING_RATE),
        warmup_cosine(EPOCHS * len(batches), len(batches)),
        seed=SEED,
        dtype=pick_precision("auto", device),
    )
    for epoch in range(EPOCHS):
        start = time.perf_counter()
        loss = trainer.run_epoch(epoch)
        print(f"  epoch {epoch + 1}/{EPOCHS}: loss {loss:.3f}, {time.perf_counter() - start:.0f} s", flush=True)
    return model


def score(model: models.Detector, images: list[np.ndarray]) -> np.ndarray:
    """Logits (N,)."""
    device = pick_device()
    engine = TorchEngine(model, device, pick_precision("auto", device))
    return run_all(engine, (evaluation_transform(image, model.preprocessing) for image in images), usual_batch(device))


def injected_test_set(
    images: list[np.ndarray], kind: str, seed: int
) -> tuple[list[np.ndarray], np.ndarray, list[np.ndarray]]:
    """Every image with one artifact of a kind, severities (N,), masks (H, W); seeds apart from those of training."""
    results, severities, masks = [], [], []
    for row, image in enumerate(images):
        rng = np.random.default_rng((seed, 2**40, list(KINDS).index(kind), row))
        severities.append(int(rng.choice(SEVERITIES)))
        result, mask = inject(image, kind, severities[-1], rng)
        results.append(result)
        masks.append(mask)
    return results, np.array(severities), masks


def wins(artifacts: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """(N, N): 1 where artifact image i scores above clean image j, 1/2 for a tie. Its mean is the ROC-AUC."""
    return (artifacts[:, None] > clean) + 0.5 * (artifacts[:, None] == clean)


def auc_row(pairs: np.ndarray, rows: np.ndarray, seed: int) -> dict:
    """ROC-AUC of (R, N) pairs, with an interval from resampled bases; `rows` (R,): which base each row comes from."""
    bases = pairs.shape[1]
    counts = np.random.default_rng(seed).multinomial(bases, np.full(bases, 1 / bases), REPLICATES)  # (draws, N)
    weights = counts[:, rows].astype(float)
    draws = ((weights @ pairs) * counts).sum(axis=1) / np.maximum(weights.sum(axis=1) * bases, 1)
    value = float(pairs.mean())
    low, high = logit_interval(value, draws, bases)
    return {"n": len(rows), "roc_auc": value, "low": low, "high": high}


def evaluate(model: models.Detector, images: list[np.ndarray], kinds: list[str]) -> pd.DataFrame:
    """ROC-AUC overall, per severity, per family and per kind."""
    clean = score(model, images)
    pairs, labels = [], []
    for kind in tqdm(kinds, "scoring", unit="kind", leave=False, disable=None):
        injected, severities, _ = injected_test_set(images, kind, SEED)
        pairs.append(wins(score(model, injected), clean))
        labels += [(kind, KINDS[kind], f"severity {severity}", row) for row, severity in enumerate(severities)]
    table, pairs = pd.DataFrame(labels, columns=["kind", "family", "severity", "base"]), np.concatenate(pairs)
    aucs = {name: auc_row(pairs[part.index], part["base"].to_numpy(), SEED) for name, part in by_target(table)}
    return pd.DataFrame([{"target": name, **row} for name, row in aucs.items()])


def by_target(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """All rows, then those of each severity, family and kind."""
    yield "all", table
    for column in ("severity", "family", "kind"):
        yield from table.groupby(column, sort=column == "severity")


def write(table: pd.DataFrame, trained_on: str) -> None:
    """Put the rows of one training into the table, in place of those it had before."""
    others = [pd.read_csv(TABLE).query("trained_on != @trained_on")] if TABLE.exists() else []
    pd.concat([*others, table.assign(trained_on=trained_on)]).to_csv(TABLE, index=False, float_format="%.4f")
    print(f"{trained_on}: written to {TABLE}", flush=True)


def main() -> None:
    parser = script_parser(__doc__)
    add = parser.add_argument
    add("--images", type=Path, required=True, help="folder of clean portraits")
    add("--weights", type=Path, required=True, help="torchvision state dict to start from")
    add("--leave-out", nargs="*", default=[], choices=[*FAMILIES, "all"], metavar="FAMILY")
    add("--only-left-out", action="store_true", help="do not train on all families")
    options = parser.parse_args()
    images, groups = load(options.images, 2 * SIZE)
    train_rows, test_rows = data.split_by_group(np.zeros(len(images), int), groups, TEST_SHARE, SEED)
    training, test = [images[row] for row in train_rows], [images[row] for row in test_rows]
    print(f"{len(training)} training and {len(test)} test bases in {len(np.unique(groups))} groups", flush=True)
    left_out = FAMILIES if "all" in options.leave_out else options.leave_out
    for family in (*([] if options.only_left_out else [""]), *left_out):
        trained_on = f"all but {family}" if family else "all"
        print(f"training on {trained_on}", flush=True)
        model = train(training, options.weights, [kind for kind in KINDS if KINDS[kind] != family])
        table = evaluate(model, test, [kind for kind in KINDS if KINDS[kind] == family or not family])
        write(table, trained_on)
        print(table.round(3).to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
