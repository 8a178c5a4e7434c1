"""Which attempts differ from the recipe? Paired comparisons on the same images, with both sources of chance.

Images: a bootstrap that draws whole groups of near-duplicates, the same ones for both (2,000 resamples). Seeds: the
spread between seeds, pooled over the attempts that have several, is added to it as normal noise; a seed also draws
the folds anew. An attempt is compared with the recipe's runs of the same seeds, so of the same folds.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy import special

from artifact_detection.attempts.catalogue import RECIPE, Attempt
from artifact_detection.attempts.protocols import Protocol
from artifact_detection.attempts.results import KEY, Results
from artifact_detection.evaluation.comparison import holm
from artifact_detection.evaluation.resampling import WeightedMetrics, stratified_counts
from artifact_detection.intervals import CONFIDENCE, logit_interval
from artifact_detection.labels import ARTIFACT

REPLICATES = 2000
MEANS = ("oof_roc_auc", "oof_f1", "oof_recall_at_5", "val_ap", "seconds", "peak_memory_mb", "millions")

Pairs = list[tuple[str, str]]  # attempts: with a choice, without it
Draws = dict[tuple[str, int], np.ndarray]  # (attempt, seed) -> APs


class ReportError(Exception):
    """Results that cannot be compared; the message says why."""


def read_all(results: Results, protocol: str) -> dict[tuple[str, int], pd.DataFrame]:
    """(attempt, seed) -> out-of-fold predictions by path. ReportError unless all are of the same labelled images."""
    keys = results.read(protocol)[KEY[1:]].drop_duplicates().itertuples(index=False)
    tables = {
        (attempt, int(seed)): results.read_predictions(protocol, attempt, int(seed)).sort_values("path")
        for attempt, seed in keys
    }
    images = {tuple(zip(table["path"], table["label"], strict=True)) for table in tables.values()}
    if len(images) > 1:
        raise ReportError(f"protocol {protocol}: the results are of {len(images)} different sets of images")
    return tables


def image_counts(table: pd.DataFrame, replicates: int = REPLICATES) -> np.ndarray:
    """(R, n): how often each image is drawn; groups are drawn whole, those with an artifact apart from the others."""
    groups, members = np.unique(table["group"], return_inverse=True)
    labels = np.zeros(len(groups), int)
    np.maximum.at(labels, members, table["label"].to_numpy())
    return np.concatenate([block[:, members] for block in stratified_counts(labels, replicates, seed=0)])


def mean_ap(table: pd.DataFrame, counts: np.ndarray) -> np.ndarray:
    """(R,) mean of the folds' APs: the folds' models have scales of their own, so no ranking goes across them."""
    per_fold = []
    for fold in np.unique(table["fold"]):
        rows = (table["fold"] == fold).to_numpy()
        columns = (table.loc[rows, name].to_numpy() for name in ("label", "prediction", "probability"))
        with np.errstate(invalid="ignore"):  # a resample of a tiny fold may lack artifacts: NaN, left out
            per_fold.append(WeightedMetrics(*columns).average_precision(counts[:, rows]))
    return np.nanmean(per_fold, axis=0)


def seed_spread(values: dict[str, list[float]]) -> float:
    """Standard deviation between seeds, pooled over the attempts with several; NaN if there is none."""
    several = [np.array(v) for v in values.values() if len(v) > 1]
    freedom = sum(len(v) - 1 for v in several)
    return float(np.sqrt(sum(((v - v.mean()) ** 2).sum() for v in several) / freedom)) if freedom else float("nan")


def analyse(results: Results, protocol: Protocol, attempts: list[Attempt]) -> pd.DataFrame:
    """One row an attempt, best AP first, with its interval and its difference from the recipe.

    An attempt that got more seeds because it did well with its first one is judged on the others alone.
    Columns: group, changes, image_size, seeds, ap, low, high, difference, difference_low, difference_high, p (Holm's,
    NaN for the recipe), and the means of MEANS. Empty without results; ReportError if there is no recipe among them.
    """
    tables = read_all(results, protocol.name)
    if not tables:
        return pd.DataFrame()
    if not any(name == RECIPE for name, _ in tables):
        raise ReportError(f"protocol {protocol.name}: {RECIPE} has not been run, so there is nothing to compare with")
    points, draws = _score(tables)
    kept = judged(tables, protocol)
    carriers = int((next(iter(tables.values()))["label"] == ARTIFACT).sum())
    board = _values(points, draws, carriers, kept).join(_differences(points, draws, kept))
    rows = results.read(protocol.name)
    fresh = [key in kept for key in zip(rows["attempt"], rows["seed"], strict=True)]
    means = rows[fresh].groupby("attempt")[list(MEANS)].mean()
    facts = {a.name: (a.group, a.changes, protocol.settings_of(a)["image_size"]) for a in attempts}
    described = pd.DataFrame.from_dict(facts, orient="index", columns=["group", "changes", "image_size"])
    return board.join(means).join(described).sort_values("ap", ascending=False)


def judged(keys: Iterable[tuple[str, int]], protocol: Protocol) -> list[tuple[str, int]]:
    """The (attempt, seed) without the seeds that chose an attempt for more of them."""
    keys = list(keys)
    repeated = [name for name in protocol.chosen if len(_seeds(keys, name)) > 1]
    return [(name, seed) for name, seed in keys if name not in repeated or seed > min(_seeds(keys, name))]


def recipe_by_seed(results: Results, protocol: Protocol) -> dict[int, float]:
    tables = {seed: table for (name, seed), table in read_all(results, protocol.name).items() if name == RECIPE}
    return {seed: mean_ap(table, np.ones((1, len(table)))).item() for seed, table in sorted(tables.items())}


def effects(results: Results, protocol: Protocol, pairs: dict[str, Pairs]) -> pd.DataFrame:
    """What a choice changes on average over several pairs of attempts (with it, without it) and their common seeds.

    A row an effect: difference, difference_low, difference_high, p (Holm's, over these effects); runs: how many
    differences it is the mean of. Empty where a pair has fewer than two seeds in common.
    """
    tables = read_all(results, protocol.name)
    runs = {
        name: [(with_, without, s) for with_, without in some for s in _seeds(tables, with_) if (without, s) in tables]
        for name, some in pairs.items()
    }
    if any(len(some) < 2 * len(pairs[name]) for name, some in runs.items()):
        return pd.DataFrame()
    points, draws = _score(tables)
    rows = {}
    for name, some in runs.items():
        values = np.array([(points[with_, s] - points[without, s]).item() for with_, without, s in some])
        sample = _sample([draws[with_, s] - draws[without, s] for with_, without, s in some], values.std(ddof=1))
        rows[name] = {"runs": len(some), **_compared(values.mean(), sample)}
    table = pd.DataFrame.from_dict(rows, orient="index")
    return table.assign(p=holm(table["p"]))


def _score(tables: dict[tuple[str, int], pd.DataFrame]) -> tuple[Draws, Draws]:
    """The AP of every job, and its APs on the same resamples of the images."""
    first = next(iter(tables.values()))
    counts, all_once = image_counts(first), np.ones((1, len(first)))
    points = {key: mean_ap(table, all_once) for key, table in tables.items()}
    return points, {key: mean_ap(table, counts) for key, table in tables.items()}


def _seeds(keys: Iterable[tuple[str, int]], name: str) -> list[int]:
    return sorted(seed for attempt, seed in keys if attempt == name)


def _sample(draws: list[np.ndarray], spread: float) -> np.ndarray:
    """The mean of draws (R,), one a seed, with normal noise for the choice of seeds; none if its spread is unknown."""
    noise = np.random.default_rng(1).normal(size=len(draws[0])) * np.nan_to_num(spread) / np.sqrt(len(draws))
    return np.mean(draws, axis=0) + noise


def _values(points: Draws, draws: Draws, carriers: int, kept: list[tuple[str, int]]) -> pd.DataFrame:
    """kept: the (attempt, seed) that count; how much seeds differ is known from all of them."""
    names = {name: _seeds(points, name) for name, _ in points}
    spread = seed_spread({name: [points[name, s].item() for s in seeds] for name, seeds in names.items()})
    rows = {}
    for name in names:
        seeds = _seeds(kept, name)
        value = float(np.mean([points[name, s] for s in seeds]))
        low, high = logit_interval(value, _sample([draws[name, s] for s in seeds], spread), carriers)
        rows[name] = {"seeds": len(seeds), "ap": value, "low": low, "high": high}
    return pd.DataFrame.from_dict(rows, orient="index")


def _differences(points: Draws, draws: Draws, kept: list[tuple[str, int]]) -> pd.DataFrame:
    """Every attempt minus the recipe, over the seeds that both have."""
    reference = _seeds(points, RECIPE)
    common = {name: [s for s in _seeds(points, name) if s in reference] for name, _ in points if name != RECIPE}
    common = {name: seeds for name, seeds in common.items() if seeds}
    by_seed = {name: [(points[name, s] - points[RECIPE, s]).item() for s in seeds] for name, seeds in common.items()}
    spread = seed_spread(by_seed)
    rows = {}
    for name in common:
        seeds = [s for s in common[name] if (name, s) in kept]
        sample = _sample([draws[name, s] - draws[RECIPE, s] for s in seeds], spread)
        rows[name] = _compared(np.mean([points[name, s] - points[RECIPE, s] for s in seeds]), sample)
    columns = ["difference", "difference_low", "difference_high", "p"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    return table.assign(p=holm(table["p"]))


def _compared(difference: float, sample: np.ndarray) -> dict[str, float]:
    """p: two-sided, the draws taken as normal around the difference; 1 if they have no spread."""
    low, high = np.quantile(sample, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    p = float(2 * special.ndtr(-abs(difference) / sample.std())) if sample.std() else 1.0
    return {"difference": difference, "difference_low": low, "difference_high": high, "p": p}
