"""Do the labels that a person gives while looking make the detector better, and which images should be looked at?

    python benchmarks/label_budget.py --images FACES --weights mobilenet_v2.pth --limit 900

FACES is a folder of clean portraits (SFHQ-T2I and SD3 portraits, MIT and CC0), split by near-duplicate group: half to
train on, a quarter to look at, a quarter to test. The artifacts are synthetic. In turn one family is left out of
training; a tenth of the images to look at, and of the test images, have an artifact of that family. Of the images to
look at, 0 to 200 are labelled: at random, or as the review page orders them (the least certain first, spread out, one
in four at random).

What learns is the last layer alone, a logistic regression on the pooled last convolutional map of a network that stays
as it is. That takes seconds instead of hours, and may show less than training the whole network would. A looked-at
image weighs WEIGHT training images, set beforehand.

A row a family, seed, order and budget: AP and recall at 5 % false alarms on the test images, and the audit's bound: the
share of artifacts that the images scored in the lower KEPT of the pool have at most, with 95 % confidence, by those of
the looked-at ones that were drawn at random. Then, over the seeds, the means with 95 % intervals (Student's t; the
families of a seed are averaged first, as they share its split) and the difference to looking at random.
"""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from injection_transfer import ARCH, BATCH, SIZE, load
from matplotlib.ticker import PercentFormatter
from project import RESULTS, ROOT
from scipy import special
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GroupShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from artifact_detection import figures
from artifact_detection.detector.models import Detector
from artifact_detection.detector.weights import build_model
from artifact_detection.filtering.acceptance import upper_bound
from artifact_detection.filtering.looking import RANDOM_EVERY, in_order_of_use
from artifact_detection.images.transforms import Preprocessing, evaluation_transform, resize
from artifact_detection.injection import FAMILIES, KINDS, SEVERITIES, inject
from artifact_detection.system.arguments import script_parser

BUDGETS, SEEDS = (0, 25, 50, 100, 200), 5
ORDERS = ("at random", "most informative")
PREVALENCE = 0.1
FALSE_ALARMS = 0.05
WEIGHT = 4
KEPT = 0.8  # of the pool, by score
LAYOUT = 4  # as the filter stores images to tell scenes apart
CACHE = ROOT / ".cache/label_budget"


@torch.inference_mode()
def embed(model: Detector, images: list[np.ndarray]) -> np.ndarray:
    """(N, 2 C): mean and maximum of the last convolutional map."""
    maps = model.features(torch.stack([evaluation_transform(image, model.preprocessing) for image in images]))
    return torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1).numpy()


def embed_all(model: Detector, faces: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(1 + families, N, 2 C): the faces clean, and each with an artifact of each family; and (N, d) layouts."""
    versions = [[], *([] for _ in FAMILIES)]
    for start in tqdm(range(0, len(faces), BATCH), "embedding", disable=None):
        batch = faces[start : start + BATCH]
        versions[0].append(embed(model, batch))
        for number, family in enumerate(FAMILIES, 1):
            draw = (np.random.default_rng((0, number, start + row)) for row in range(len(batch)))
            images = [with_artifact(image, family, rng) for image, rng in zip(batch, draw, strict=True)]
            versions[number].append(embed(model, images))
    layouts = np.stack([resize(face, LAYOUT).reshape(-1) for face in faces])
    return np.stack([np.concatenate(one) for one in versions]), layouts


def with_artifact(image: np.ndarray, family: str, rng: np.random.Generator) -> np.ndarray:
    kinds = [kind for kind, own in KINDS.items() if own == family]
    return inject(image, str(rng.choice(kinds)), int(rng.choice(SEVERITIES)), rng)[0]


def split(groups: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row numbers to train on, to look at, to test on; no group on two sides."""
    train, rest = next(GroupShuffleSplit(1, test_size=0.5, random_state=seed).split(groups, groups=groups))
    pool, test = next(GroupShuffleSplit(1, test_size=0.5, random_state=seed).split(rest, groups=groups[rest]))
    return train, rest[pool], rest[test]


def fit(features: np.ndarray, targets: np.ndarray, weights: np.ndarray):
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    return model.fit(features, targets, logisticregression__sample_weight=weights)


def mixture(embeddings: np.ndarray, rows: np.ndarray, unseen: int, rng) -> tuple[np.ndarray, np.ndarray]:
    """Features and targets of `rows`, some with an artifact of the family number `unseen`."""
    targets = np.zeros(len(rows), int)
    targets[rng.permutation(len(rows))[: round(PREVALENCE * len(rows))]] = 1
    return embeddings[targets * unseen, rows], targets


def budget_rows(embeddings: np.ndarray, layouts: np.ndarray, groups: np.ndarray, unseen: int, seed: int) -> list[dict]:
    """A row an order and budget, for one left-out family and one seed."""
    rng = np.random.default_rng((seed, unseen))
    train, pool, test = split(groups, seed)
    seen = [number for number in range(1, 1 + len(FAMILIES)) if number != unseen]
    base = np.concatenate([embeddings[0, train], embeddings[rng.choice(seen, len(train)), train]])
    base_targets = np.repeat([0, 1], len(train))
    features, targets = mixture(embeddings, pool, unseen, rng)
    tested, test_targets = mixture(embeddings, test, unseen, rng)
    before = fit(base, base_targets, np.ones(len(base)))
    scores = before.predict_proba(features)[:, 1]
    orders = {
        "at random": rng.permutation(len(pool)).tolist(),
        "most informative": in_order_of_use(
            scores, layouts[pool], threshold(before, base[: len(train)]), 200, seed=seed
        ),
    }
    rows = []
    for order, budget in ((order, budget) for order in ORDERS for budget in BUDGETS):
        looked = orders[order][:budget]
        after = fit(
            np.concatenate([base, features[looked]]),
            np.append(base_targets, targets[looked]),
            np.append(np.ones(len(base)), np.full(len(looked), WEIGHT)),
        )
        drawn = looked if order == "at random" else looked[RANDOM_EVERY - 1 :: RANDOM_EVERY]
        rows.append(
            {"left_out": FAMILIES[unseen - 1], "seed": seed, "order": order, "looked_at": len(looked)}
            | {"artifacts_found": int(targets[looked].sum())}
            | quality(test_targets, after.decision_function(tested))
            | {"bound": bound(scores, targets, drawn)}
        )
    return rows


def threshold(model, clean: np.ndarray) -> float:
    """The probability that FALSE_ALARMS of the clean training images reach."""
    return float(np.quantile(model.predict_proba(clean)[:, 1], 1 - FALSE_ALARMS))


def quality(targets: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    edge = np.quantile(logits[targets == 0], 1 - FALSE_ALARMS)
    return {"ap": average_precision_score(targets, logits), "recall": float((logits[targets == 1] > edge).mean())}


def bound(scores: np.ndarray, targets: np.ndarray, drawn: list[int]) -> float:
    """The largest share of artifacts among the kept, by those of the `drawn` that are kept."""
    kept = scores <= np.quantile(scores, KEPT)
    seen = [row for row in drawn if kept[row]]
    return upper_bound(int(targets[seen].sum()), len(seen), int(kept.sum())) / kept.sum()


def summarize(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean and 95 % interval over seeds, by order and budget, and of the difference to looking at random."""
    by_seed = rows.groupby(["order", "looked_at", "seed"])[["ap", "recall", "bound"]].mean()
    means = by_seed.groupby(["order", "looked_at"]).agg([("mean", "mean"), ("half", half_width)])
    gain = by_seed.xs(ORDERS[1]) - by_seed.xs(ORDERS[0])
    gains = gain.groupby("looked_at").agg([("mean", "mean"), ("half", half_width)])
    return pd.concat([means, pd.concat({"difference": gains}, names=["order"])])


def half_width(values: pd.Series) -> float:
    return float(special.stdtrit(len(values) - 1, 0.975) * values.std(ddof=1) / np.sqrt(len(values)))


def plot(summary: pd.DataFrame) -> figures.Figure:
    """The bound, which looking gives at once; then what the detector gains, on axes from 0: noise looks small."""
    panels = {
        "bound": ("artifacts among the kept, at most", "the bound on the kept"),
        "ap": ("AP", "the detector: average precision"),
        "recall": ("recall", f"the detector: recall at {FALSE_ALARMS:.0%} false alarms"),
    }
    figure, axes = figures.panels(len(panels), width=3.6, height=3.0)
    for axis, (measure, (name, title)) in zip(axes, panels.items(), strict=True):
        for order, colour, aside in zip(ORDERS, (figures.BLUE, figures.GREY), (-2, 2), strict=True):
            line = summary.loc[order, measure]
            label = f"drawn {order}" if order == ORDERS[0] else f"{order} first"
            axis.errorbar(
                line.index + aside, line["mean"], line["half"], label=label, color=colour, capsize=3, marker="o"
            )
        axis.set_ylim(0, 1.05 if measure == "bound" else 0.6)
        if measure == "bound":
            axis.yaxis.set_major_formatter(PercentFormatter(1, 0))
        figures.label_axes(axis, "images looked at", name, title)
    axes[0].legend(frameon=False)
    return figure


def main() -> None:
    parser = script_parser(__doc__)
    parser.add_argument("--images", type=Path, required=True, metavar="FACES")
    parser.add_argument("--weights", type=Path, required=True, help="of ImageNet: a network that never saw an artifact")
    parser.add_argument("--limit", type=int, default=0, help="faces used; 0: all")
    options = parser.parse_args()
    faces, groups = load(options.images, SIZE, options.limit)
    stored = CACHE / f"embeddings-{len(faces)}.npz"  # they take the time: kept for another look at the same numbers
    CACHE.mkdir(parents=True, exist_ok=True)
    if not stored.exists():
        model = build_model(ARCH, str(options.weights), Preprocessing(SIZE)).eval()
        np.savez(stored, *embed_all(model, faces))
    embeddings, layouts = np.load(stored).values()
    one = partial(budget_rows, embeddings, layouts, groups)
    runs = [(unseen, seed) for seed in range(SEEDS) for unseen in range(1, 1 + len(FAMILIES))]
    table = pd.DataFrame([row for run in tqdm(runs, "refitting", disable=None) for row in one(*run)])
    table.to_csv(RESULTS / "label_budget.csv", index=False, float_format="%.4f")
    summary = summarize(table)
    figures.save(plot(summary), ROOT / "docs/label_budget.png")
    print(f"{len(faces)} faces, {SEEDS} seeds; mean and half a 95 % interval")
    print(summary.round(3).to_string())


if __name__ == "__main__":
    main()
