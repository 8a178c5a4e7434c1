"""Does a detector that was trained on injected artifacts only rank unseen ones above clean images?

    python benchmarks/injection_transfer.py --images FACES --weights mobilenet_v2.pth
    python benchmarks/injection_transfer.py --images FACES --weights mobilenet_v2.pth --leave-out all

FACES is a folder of clean portraits (the published numbers: SFHQ-T2I and SD3 portraits, MIT and CC0). Near-duplicate
bases are grouped and split. Each epoch shows every training image with and without an artifact, injected on the fly.
The last epoch is scored once: every test base clean, and once with each kind at a random severity, from seeds that
training never saw. With --leave-out, a model is also trained without each named family and scored on that family;
with --only-left-out, the training on all families is left away.

Results: a row per training and target with ROC-AUC and its 95 % interval (bootstrap over bases, logit scale). A table
that is there keeps the rows of other trainings, so the parts can run one by one.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from artifact_detection.detector import checkpoints, models, weights  # noqa: E402
from artifact_detection.detector.device import pick_device, pick_precision  # noqa: E402
from artifact_detection.detector.scoring import TorchEngine, run_all, usual_batch  # noqa: E402
from artifact_detection.images.duplicates import duplicate_groups  # noqa: E402
from artifact_detection.images.measure import measure_files  # noqa: E402
from artifact_detection.images.transforms import Preprocessing, evaluation_transform  # noqa: E402
from artifact_detection.injection import FAMILIES, KINDS, SEVERITIES, inject  # noqa: E402
from artifact_detection.injection.dataset import find_images  # noqa: E402
from artifact_detection.intervals import logit_interval  # noqa: E402
from artifact_detection.labels import CLEAN  # noqa: E402
from artifact_detection.system.threads import cores  # noqa: E402
from artifact_detection.training import data, sampling  # noqa: E402
from artifact_detection.training.cache import cached_images  # noqa: E402
from artifact_detection.training.losses import FocalLoss  # noqa: E402
from artifact_detection.training.painting import Painting  # noqa: E402
from artifact_detection.training.schedules import warmup_cosine  # noqa: E402
from artifact_detection.training.trainer import OPTIMIZERS, Trainer  # noqa: E402

TEST_SHARE = 1 / 3
REPLICATES = 1000
BATCH = 32


def load(folder: Path, size: int, limit: int, seed: int, cache: Path) -> tuple[list[np.ndarray], np.ndarray]:
    """The images (size, size, 3) uint8 and their near-duplicate groups (N,)."""
    paths, _ = find_images(folder)
    chosen = [paths[i] for i in np.sort(np.random.default_rng(seed).permutation(len(paths))[: limit or None])]
    cached = cached_images(chosen, Preprocessing(size), cache)
    groups = duplicate_groups(measure_files(chosen, cache / "measurements.npz"))
    usable = [row for row in range(len(chosen)) if row not in cached.errors]
    return [np.array(cached.images[row]) for row in usable], groups[usable]


def train(options: argparse.Namespace, images: list[np.ndarray], kinds: list[str]) -> models.Detector:
    """Fine-tune on injected artifacts; the last epoch counts, nothing is chosen on anything."""
    torch.manual_seed(options.seed)
    model = weights.build_model(options.arch, str(options.weights), Preprocessing(options.size))
    batches = sampling.EpochBatches(np.zeros(len(images), int), BATCH, "none", options.seed, inject=0.5)
    table = pd.DataFrame({"path": "", "label": CLEAN, "row": range(len(images))})
    clean = data.ImageSet(Path(), table, np.stack(images), {})
    samples = sampling.TrainingImages(clean, options.augmentation, model.preprocessing, Painting(kinds), unfitted=True)
    device, workers = pick_device(options.device), sampling.pick_workers(options.workers, cores())
    trainer = Trainer(
        model.to(device),
        sampling.training_loader(samples, batches, workers, pin=device.type == "cuda"),
        FocalLoss(gamma=0),
        OPTIMIZERS["adam"](model.parameters(), lr=options.lr),
        warmup_cosine(options.epochs * len(batches), len(batches)),
        seed=options.seed,
        dtype=pick_precision(options.precision, device),
    )
    for epoch in range(options.epochs):
        start = time.perf_counter()
        loss = trainer.run_epoch(epoch)
        print(f"  epoch {epoch + 1}/{options.epochs}: loss {loss:.3f}, {time.perf_counter() - start:.0f} s", flush=True)
    return model


def score(model: models.Detector, images: list[np.ndarray], options: argparse.Namespace) -> np.ndarray:
    """Logits (N,)."""
    device = pick_device(options.device)
    engine = TorchEngine(model, device, pick_precision(options.precision, device))
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


def evaluate(model: models.Detector, images: list[np.ndarray], kinds: list[str], options) -> pd.DataFrame:
    """ROC-AUC overall, per severity, per family and per kind."""
    clean = score(model, images, options)
    pairs, labels = [], []
    for kind in tqdm(kinds, "scoring", unit="kind", leave=False, disable=None):
        injected, severities, _ = injected_test_set(images, kind, options.seed)
        pairs.append(wins(score(model, injected, options), clean))
        labels += [(kind, KINDS[kind], f"severity {severity}", row) for row, severity in enumerate(severities)]
    table, pairs = pd.DataFrame(labels, columns=["kind", "family", "severity", "base"]), np.concatenate(pairs)
    aucs = {name: auc_row(pairs[part.index], part["base"].to_numpy(), options.seed) for name, part in by_target(table)}
    return pd.DataFrame([{"target": name, **row} for name, row in aucs.items()])


def by_target(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """All rows, then those of each severity, family and kind."""
    yield "all", table
    for column in ("severity", "family", "kind"):
        yield from table.groupby(column, sort=column == "severity")


def write(table: pd.DataFrame, trained_on: str, path: Path) -> None:
    """Put the rows of one training into the CSV file, in place of those it had before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    others = [pd.read_csv(path).query("trained_on != @trained_on")] if path.exists() else []
    pd.concat([*others, table.assign(trained_on=trained_on)]).to_csv(path, index=False, float_format="%.4f")
    print(f"{trained_on}: written to {path}", flush=True)


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="folder of clean portraits")
    parser.add_argument("--weights", type=Path, required=True, help="torchvision state dict to start from")
    parser.add_argument("--arch", default="mobilenet_v2")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--augmentation", default="light")
    parser.add_argument("--limit", type=int, default=0, help="use so many images only (a trial)")
    parser.add_argument("--leave-out", nargs="*", default=[], choices=[*FAMILIES, "all"], metavar="FAMILY")
    parser.add_argument("--only-left-out", action="store_true", help="do not train on all families")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16", "fp16"))
    parser.add_argument("--workers", type=int, default=-1)
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/injection_transfer.csv")
    parser.add_argument("--save", type=Path, help="also keep the model trained on every family, as a checkpoint")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments)
    images, groups = load(options.images, 2 * options.size, options.limit, options.seed, options.cache)
    train_rows, test_rows = data.split_by_group(np.zeros(len(images), int), groups, TEST_SHARE, options.seed)
    training, test = [images[row] for row in train_rows], [images[row] for row in test_rows]
    print(f"{len(training)} training and {len(test)} test bases in {len(np.unique(groups))} groups", flush=True)
    left_out = FAMILIES if "all" in options.leave_out else options.leave_out
    for family in (*([] if options.only_left_out else [""]), *left_out):
        kinds = [kind for kind in KINDS if KINDS[kind] != family]
        print(f"training on {f'all but {family}' if family else 'all families'}", flush=True)
        model = train(options, training, kinds)
        targets = [kind for kind in KINDS if KINDS[kind] == family] if family else list(KINDS)
        table = evaluate(model, test, targets, options)
        write(table, f"all but {family}" if family else "all", options.out)
        print(table.round(3).to_string(index=False), flush=True)
        if options.save and not family:
            torch.save(checkpoints.make_checkpoint(model), options.save)
    return 0


if __name__ == "__main__":
    sys.exit(main())
