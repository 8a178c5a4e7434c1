"""From (targets, probabilities) to metrics with 95 % intervals; the positive class is always "artifacts".

    python -m artifact_detection.evaluation.metrics predictions.csv [--artifact-label 0]

prints the summary; --out FILE also writes it. Every image counts: nothing is averaged over batches. What
cannot be computed (a class is absent, nothing is predicted) is NaN with its reason.

Point values are scikit-learn's. Intervals: Wilson for proportions; Wilson on F* = TP / (TP + FP + FN),
carried over to F1 = 2 F* / (1 + F*) (Lam et al., arXiv 2309.14621); MOVER for balanced accuracy (Zou and
Donner, Statistics in Medicine 2008); a bootstrap stratified by class for the rest (intervals.py,
resampling.py).
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import metrics as sk

from artifact_detection.evaluation.predictions import CUT, polarity_question, read_predictions, usable_rows
from artifact_detection.evaluation.resampling import WeightedMetrics, bootstrap
from artifact_detection.intervals import CONFIDENCE, calibration_interval, logit_interval, wilson
from artifact_detection.labels import ARTIFACT, CLASSES, CLEAN, DEFAULT_PATTERN
from artifact_detection.system.arguments import module_parser
from artifact_detection.system.ownership import refuse_named, write_named
from artifact_detection.system.paths import printable


@dataclass(frozen=True)
class Estimate:
    """A value with its interval, the number of images it rests on, and why it is NaN (or has no interval)."""

    value: float
    low: float = float("nan")
    high: float = float("nan")
    support: int = 0
    reason: str = ""

    def __str__(self) -> str:
        if np.isnan(self.value):
            return f"undefined: {self.reason}"
        interval = f"no interval: {self.reason}" if np.isnan(self.low) else f"{self.low:.3f} - {self.high:.3f}"
        return f"{self.value:.3f}  ({interval})"


@dataclass(frozen=True)
class Summary:
    """All metrics of one set of predictions. `confusion[i, j]`: images of class i predicted as class j."""

    metrics: dict[str, Estimate]
    confusion: np.ndarray  # (2, 2) int64
    threshold: float | None  # None: the predictions were given, not cut from probabilities

    def __getitem__(self, name: str) -> Estimate:
        return self.metrics[name]

    @property
    def support(self) -> dict[str, int]:
        return {name: int(count) for name, count in zip(CLASSES, self.confusion.sum(axis=1), strict=True)}

    def as_dict(self) -> dict:
        """Plain values for JSON: NaN becomes None, beside its reason."""
        rows = {name: asdict(estimate) for name, estimate in self.metrics.items()}
        for row in rows.values():
            row.update({key: None for key in ("value", "low", "high") if np.isnan(row[key])})
        return {
            "threshold": self.threshold,
            "confidence": CONFIDENCE,
            "support": self.support,
            "confusion_matrix": self.confusion.tolist(),
            "metrics": rows,
        }

    def table(self) -> str:
        """The summary as text for a terminal: one line a metric, then the confusion matrix."""
        support = ", ".join(f"{count} {name}" for name, count in self.support.items())
        cut = "predictions as given" if self.threshold is None else f"threshold {self.threshold:.4g}"
        lines = [f"{self.confusion.sum()} images ({support}); {cut}; 95 % intervals"]
        lines += [f"  {name:<22} {estimate}  n={estimate.support}" for name, estimate in self.metrics.items()]
        lines.append(f"  {'true / predicted':<22} " + " ".join(f"{name:>12}" for name in CLASSES))
        for name, row in zip(CLASSES, self.confusion, strict=True):
            lines.append(f"  {name:<22} " + " ".join(f"{count:>12}" for count in row))
        return "\n".join(lines)


def summarize(
    targets: np.ndarray, probabilities: np.ndarray | None, threshold: float = 0.5, *,
    predictions: np.ndarray | None = None, replicates: int = 2000, seed: int = 0,
) -> Summary:  # fmt: skip
    """Every metric of targets (n,) in {0, 1} and probabilities (n,) of "artifacts" in [0, 1].

    An image is called "artifacts" if its probability is at least `threshold`; `predictions` (n,) in {0, 1}
    are used instead where given. Without probabilities (None) the curves' metrics are NaN with that reason.
    Raises ValueError for empty, unequal, non-binary or non-finite input.
    """
    targets = check_binary("targets", targets)
    if probabilities is not None:
        probabilities = check_probabilities(probabilities, len(targets))
    elif predictions is None:
        raise ValueError("neither probabilities nor predictions are given")
    given = predictions is not None
    predicted = check_binary("predictions", predictions) if given else (probabilities >= threshold).astype(int)
    confusion = sk.confusion_matrix(targets, predicted, labels=[CLEAN, ARTIFACT])
    estimates = _count_metrics(confusion)
    estimates.update(_sampled_metrics(targets, predicted, probabilities, replicates, seed))
    return Summary(estimates, confusion, None if given else float(threshold))


def summarize_table(table: pd.DataFrame, threshold: float | None = None) -> Summary:
    """`summarize` for the usable rows of `read_predictions`; threshold None takes the file's own predictions if any.

    Probabilities count only if every usable row has one. Raises ValueError if no row is usable.
    """
    threshold = table.attrs.get(CUT) if threshold is None else threshold
    table = table[usable_rows(table, threshold)]
    if table.empty:
        raise ValueError("no row has a label and a prediction")
    probabilities = None if table["probability"].isna().any() else table["probability"].to_numpy()
    if threshold is None:
        return summarize(table["label"], probabilities, predictions=table["prediction"])
    return summarize(table["label"], probabilities, threshold)


def check_binary(what: str, values: np.ndarray) -> np.ndarray:
    """The values as (n,) int64, or ValueError if they are empty or not all 0 or 1."""
    values = np.asarray(values)
    if values.ndim != 1 or len(values) == 0 or not np.isin(values, (CLEAN, ARTIFACT)).all():
        raise ValueError(f"{what} must be a non-empty list of 0 and 1")
    return values.astype(np.int64)


def check_probabilities(values: np.ndarray, length: int) -> np.ndarray:
    """The values as (length,) float64, or ValueError if they are not probabilities."""
    values = np.asarray(values, dtype=np.float64)
    if values.shape != (length,):
        raise ValueError(f"{length} targets but probabilities of shape {values.shape}")
    if not ((values >= 0) & (values <= 1)).all():  # also False for NaN
        raise ValueError("probabilities must lie in [0, 1]")
    return values


def _count_metrics(confusion: np.ndarray) -> dict[str, Estimate]:
    """What follows from the four counts alone."""
    (tn, fp), (fn, tp) = confusion.tolist()
    recall = _proportion(tp, tp + fn, f"no image is labelled {CLASSES[ARTIFACT]}")
    recall_clean = _proportion(tn, tn + fp, f"no image is labelled {CLASSES[CLEAN]}")
    return {
        "accuracy": _proportion(tp + tn, tp + tn + fp + fn, ""),
        "balanced_accuracy": _balanced(recall, recall_clean),
        "precision": _proportion(tp, tp + fp, f"no image is predicted {CLASSES[ARTIFACT]}"),
        "recall": recall,
        "f1": _f1(tp, fp + fn, CLASSES[ARTIFACT]),
        "precision_clean": _proportion(tn, tn + fn, f"no image is predicted {CLASSES[CLEAN]}"),
        "recall_clean": recall_clean,
        "f1_clean": _f1(tn, fp + fn, CLASSES[CLEAN]),
    }


def _proportion(k: int, n: int, reason: str) -> Estimate:
    return Estimate(k / n, *wilson(k, n), n) if n else Estimate(float("nan"), reason=reason)


def _balanced(first: Estimate, second: Estimate) -> Estimate:
    """Mean of two independent proportions; MOVER joins their Wilson intervals."""
    if first.reason or second.reason:
        return Estimate(float("nan"), reason=first.reason or second.reason)
    value = (first.value + second.value) / 2
    low = value - np.hypot(first.value - first.low, second.value - second.low) / 2
    high = value + np.hypot(first.high - first.value, second.high - second.value) / 2
    return Estimate(value, float(low), float(high), first.support + second.support)


def _f1(hits: int, errors: int, name: str) -> Estimate:
    """F1 = 2 F* / (1 + F*) where F* = hits / (hits + errors) is a proportion."""
    star = _proportion(hits, hits + errors, f"no image is labelled or predicted {name}")
    value, low, high = (2 * x / (1 + x) for x in (star.value, star.low, star.high))
    return Estimate(value, low, high, star.support, star.reason)


def _sampled_metrics(targets, predicted, probabilities, replicates, seed) -> dict[str, Estimate]:
    """What needs the bootstrap for its interval."""
    counted = WeightedMetrics(targets, predicted, probabilities)
    values = {
        "mcc": lambda: sk.matthews_corrcoef(targets, predicted),
        "average_precision": lambda: sk.average_precision_score(targets, probabilities),
        "roc_auc": lambda: sk.roc_auc_score(targets, probabilities),
        "brier": lambda: sk.brier_score_loss(targets, probabilities),
        "ece": lambda: counted.ece(np.ones((1, len(targets)))).item(),
    }
    reasons = _missing(targets, predicted, probabilities)
    estimates = {name: Estimate(float("nan"), reason=reason) for name, reason in reasons.items()}
    known = [name for name, reason in reasons.items() if not reason]
    draws = bootstrap(targets, {name: getattr(counted, name) for name in known}, replicates, seed)
    for name in known:
        noise = counted.ece_by_chance(replicates, seed) if name == "ece" else None
        estimates[name] = _with_interval(name, float(values[name]()), draws[name], targets, noise)
    return estimates


def _missing(targets, predicted, probabilities) -> dict[str, str]:
    """Why each metric is undefined; "" where it is not."""
    lacking = "" if len(np.unique(targets)) == 2 else f"no image is labelled {CLASSES[1 - targets[0]]}"
    constant = "" if len(np.unique(predicted)) == 2 else "only one class is predicted"
    blind = "" if probabilities is not None else "not every image has a probability"
    ranking = blind or lacking
    return {"mcc": lacking or constant, "average_precision": ranking, "roc_auc": ranking, "brier": blind, "ece": blind}


def _with_interval(
    name: str, value: float, draws: np.ndarray, targets: np.ndarray, noise: np.ndarray | None
) -> Estimate:
    n = len(targets)
    if noise is not None:
        return Estimate(value, *calibration_interval(value, draws, noise), n)
    bottom = -1 if name == "mcc" else 0  # Matthews' correlation lies in [-1, 1], the others in [0, 1]
    scale = 1 - bottom
    carriers = n if name == "brier" else min(np.bincount(targets))  # the rarer class carries the spread
    low, high = logit_interval((value - bottom) / scale, (draws - bottom) / scale, carriers)
    reason = "no spread between resamples" if np.isnan(low) else ""
    return Estimate(value, bottom + scale * low, bottom + scale * high, n, reason)


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = module_parser("evaluation.metrics", __doc__)
    add = parser.add_argument
    add("predictions", type=Path, help="CSV: path,label,probability,prediction (filename,prediction will do)")
    add("--artifact-label", help='word that means "artifacts" in labels and predictions; asked for if it is unclear')
    add("--pattern", default=DEFAULT_PATTERN, help="file name -> label, if there is no label column")
    add("--threshold", type=float, help="cut the probabilities here instead of reading the predictions")
    add("--out", type=Path, metavar="FILE", help="also write the summary there, as JSON")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0: done; 1: done, but rows were left out; 2: nothing usable or wrong usage."""
    options = parse_arguments(arguments)
    try:
        refuse_named(options.out)
        table = read_predictions(options.predictions, options.artifact_label, options.pattern)
        summary = summarize_table(table, options.threshold)
        if options.out:
            write_named(options.out, json.dumps(summary.as_dict(), indent=2) + "\n")
    except (OSError, ValueError) as error:
        text, name = printable(error), printable(options.predictions)
        print(f"error: {text if name in text else f'{name}: {text}'}", file=sys.stderr)
        return 2
    print(summary.table())
    if question := polarity_question(table):
        print(f"warning: {question}", file=sys.stderr)
    left_out = table[~usable_rows(table, options.threshold)]
    for path, again in zip(left_out["path"], table["path"].duplicated()[left_out.index], strict=True):
        why = "listed before" if again else "no label or no prediction"
        print(f"left out, {why}: {printable(path)}", file=sys.stderr)
    return 1 if len(left_out) else 0


if __name__ == "__main__":
    sys.exit(main())
