"""Is one set of predictions better than another on the same images, and does quality differ between subgroups?"""

import numpy as np
import pandas as pd
from scipy import stats

from artifact_detection.evaluation.resampling import WeightedMetrics, bootstrap
from artifact_detection.intervals import CONFIDENCE, clopper_pearson, wilson
from artifact_detection.labels import ARTIFACT

PAIRED = ("recall", "precision", "f1", "average_precision", "roc_auc", "brier")
TERTILES = ("low", "middle", "high")


def mcnemar(first_correct: np.ndarray, second_correct: np.ndarray) -> tuple[int, int, float]:
    """Images that only the first, and only the second, got right, and McNemar's exact two-sided p-value.

    first_correct, second_correct: (n,) bool for the same n images.
    """
    first, second = (int((a & ~b).sum()) for a, b in ((first_correct, second_correct), (second_correct, first_correct)))
    p = stats.binomtest(first, first + second).pvalue if first + second else 1.0
    return first, second, float(p)


def compare(first: pd.DataFrame, second: pd.DataFrame, replicates: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Metrics of two sets of predictions of the same images, and their differences with paired 95 % intervals.

    first, second: columns path, label, probability, prediction as `read_predictions` gives; rows are matched by
    path. Index: recall, precision, f1, average_precision, roc_auc, brier. Columns: first, second, difference
    (second - first), low, high: percentiles of a bootstrap that draws the same images for both; where those have no
    spread, the exact interval of no difference among the images of the rarer class.
    Raises ValueError if the labels disagree or no image is in both.
    """
    both = match(first, second)
    targets = both["label_first"].to_numpy()
    models = [
        WeightedMetrics(targets, both[f"prediction_{side}"].to_numpy(), both[f"probability_{side}"].to_numpy())
        for side in ("first", "second")
    ]
    names = [name for name in PAIRED if name in PAIRED[:3] or not both.filter(like="probability").isna().any(axis=None)]
    pairs = {name: [getattr(model, name) for model in models] for name in names}
    differences = {name: lambda counts, pair=pair: pair[1](counts) - pair[0](counts) for name, pair in pairs.items()}
    draws = bootstrap(targets, differences, replicates, seed)
    rows, is_same = {}, bool((both["probability_first"] == both["probability_second"]).all())  # NaN is no such
    for name, pair in pairs.items():
        values = [metric(np.ones((1, len(targets)))).item() for metric in pair]
        low, high = np.nanquantile(draws[name], ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
        if low == high and not is_same:
            # No image tells them apart here, as when both find all; other images might.
            high = clopper_pearson(0, min(np.bincount(targets)))[1]
            low = -high
        rows[name] = (*values, values[1] - values[0], low, high)
    return pd.DataFrame.from_dict(rows, orient="index", columns=["first", "second", "difference", "low", "high"])


def match(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """The images in both sets, one row each; columns get the suffixes _first and _second. Raises ValueError."""
    both = first.merge(second, on="path", suffixes=("_first", "_second"), validate="one_to_one")
    if both.empty or both["label_first"].nunique() < 2:
        raise ValueError("the two sets of predictions have too few images in common to be compared")
    if not both["label_first"].equals(both["label_second"]):
        raise ValueError("the two sets of predictions disagree about labels: they are of different datasets")
    return both


def tertiles(values: pd.Series) -> pd.Series:
    """ "low", "middle" or "high" by the 1/3 and 2/3 quantiles of the values."""
    edges = values.quantile([1 / 3, 2 / 3])
    return pd.Series(np.array(TERTILES)[np.searchsorted(edges, values)], index=values.index)


def subgroups(targets: np.ndarray, predictions: np.ndarray, measures: pd.DataFrame) -> pd.DataFrame:
    """Recall and the share of clean images lost, in the tertiles of every column of `measures`, all (n,).

    Index: (rate, measure, tertile). Columns: n, value, low, high (Wilson), p: Fisher's exact test of low against high
    tertile, adjusted by Holm over all measures and both rates.
    """
    rows, tests = {}, {}
    for rate, members in (("recall", targets == ARTIFACT), ("clean lost", targets != ARTIFACT)):
        for measure in measures:
            groups = tertiles(measures[measure])
            flagged = {name: predictions[members & (groups == name).to_numpy()] == ARTIFACT for name in TERTILES}
            for name, hits in flagged.items():
                low, high = wilson(int(hits.sum()), len(hits))
                value = hits.mean() if len(hits) else np.nan
                rows[rate, measure, name] = {"n": len(hits), "value": value, "low": low, "high": high}
            table = [[int(flagged[end].sum()), int((~flagged[end]).sum())] for end in ("low", "high")]
            tests[rate, measure] = stats.fisher_exact(table).pvalue
    result = pd.DataFrame.from_dict(rows, orient="index")
    result.index = pd.MultiIndex.from_tuples(result.index, names=("rate", "measure", "tertile"))
    adjusted = holm(pd.Series(tests))
    return result.assign(p=[adjusted[rate, measure] for rate, measure, _ in result.index])


def holm(p_values: pd.Series) -> pd.Series:
    """Holm's (1979) adjustment of p-values for testing them all."""
    ordered = p_values.sort_values()
    adjusted = (ordered * np.arange(len(ordered), 0, -1)).cummax().clip(upper=1)
    return adjusted.reindex(p_values.index)
