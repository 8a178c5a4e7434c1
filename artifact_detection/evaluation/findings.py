"""The sentences of the evaluation notebook: each says in words what a table or figure above it shows."""

import numpy as np
import pandas as pd

from artifact_detection.detector.scoring import Scorer
from artifact_detection.evaluation.bands import KEEP, REJECT, REVIEW, Bands
from artifact_detection.evaluation.comparison import match, mcnemar
from artifact_detection.evaluation.loading import OUTCOMES, Evaluation
from artifact_detection.evaluation.metrics import Summary
from artifact_detection.evaluation.predictions import polarity_question
from artifact_detection.evaluation.recall_matrix import CLEAN_ROW
from artifact_detection.intervals import images_for_margin, wilson
from artifact_detection.labels import ARTIFACT, CLASSES, CLEAN

NO_PROBABILITIES = "Left out: not every image has a probability."
NO_IMAGES = "Left out: the images are not there."
NO_MODEL = "Left out: this needs a run and its images."
NO_REGIONS = "Left out: this needs a detector with regions: a run with --inject, or pretrained/."
SIGNIFICANT = 0.05


def opened(run: Evaluation) -> str:
    images = "images found" if run.files else "images not found: what needs them is left out"
    return (
        f"**{run.source}**: {len(run.table)} images scored, {run.left_out} rows left out, without label or "
        f"verdict or listed before; "
        f"threshold {run.threshold:.4f}, temperature {run.temperature:.2f}; {images}. {polarity_question(run.table)}"
    ).rstrip()


def missing(run: Evaluation, *needs: str) -> str:
    """Why a section is left out, "" if all that it needs is there: probabilities, images, model, classes, clean."""
    reasons = {
        "probabilities": NO_PROBABILITIES if run.probabilities is None else "",
        "images": "" if run.files else NO_IMAGES,
        "model": "" if run.model and run.files else NO_MODEL,
        "classes": f"Left out: {run.one_class}." if run.one_class else "",
        "clean": "" if (run.targets == CLEAN).any() else f"Left out: {run.one_class}.",
    }
    return next((reasons[need] for need in needs if reasons[need]), "")


def share(row: dict | pd.Series) -> str:
    """`75.0 % (53.1 to 88.8 %)` of anything with value, low and high."""
    value, low, high = (100 * row[name] for name in ("value", "low", "high"))
    return f"{value:.1f} % ({low:.1f} to {high:.1f} %)"


def quality(summary: Summary) -> str:
    recall, lost = summary["recall"], summary["recall_clean"]
    found = f"Recall is {recall}" if recall.reason else f"Of {recall.support} artifacts {share(vars(recall))} are found"
    kept = f"of {lost.support} clean images {share(vars(lost))} are kept" if not lost.reason else lost.reason
    needed = images_for_margin(0.9, 0.05)
    return f"{found}; {kept}. Knowing a recall of 90 % to ±5 points takes about {needed} artifacts."


def errors(summary: Summary) -> str:
    (tn, fp), (fn, tp) = summary.confusion.tolist()
    if not tn + fp:
        return f"{fn} of {tp + fn} artifacts would stay. Nothing is known of clean images: none is labelled so."
    if not fn + tp:
        return f"{fp} of {tn + fp} clean images would be lost. Nothing is known of artifacts: none is labelled so."
    return (
        f"{fp} of {tn + fp} clean images would be lost and {fn} of {tp + fn} artifacts would stay. For comparison: "
        f"calling every image clean has accuracy {(tn + fp) / summary.confusion.sum():.1%} and finds nothing."
    )


def ranking(summary: Summary) -> str:
    chance = summary.support[CLASSES[ARTIFACT]] / summary.confusion.sum()
    return (
        f"Average precision {summary['average_precision']}, by chance {chance:.3f}; ROC-AUC {summary['roc_auc']}, "
        "by chance 0.5. Shaded: pointwise 95 % bootstrap bands. Dot: the threshold in use."
    )


def calibration(before: Summary, after: Summary, temperature: float, shift: float) -> str:
    text = (
        f"Expected calibration error {before['ece']} before and {after['ece']} after the logits were shifted by "
        f"{shift:+.2f} and divided by {temperature:.2f}, both fitted on validation."
    )
    if (temperature, shift) == (1, 0):  # a predictions file
        text = f"Expected calibration error {after['ece']}; nothing was fitted here."
    if after["ece"].low > 0:
        return f"{text} The probabilities are off by more than chance explains."
    return f"{text} With {after.confusion.sum()} images no deviation from perfect calibration is shown."


def bands(chosen: Bands, images: int) -> str:
    promises = f"- {chosen.keep.sentence()}\n- {chosen.reject.sentence()}"
    return f"From {images} validation images that chose nothing:\n{promises}"


def bands_on_test(chosen: Bands, run: Evaluation) -> str:
    decisions, but = chosen.decide(run.probabilities), f" But {run.one_class}." if run.one_class else ""
    kept, rejected = (run.targets[decisions == action] for action in (KEEP, REJECT))
    return (
        f"On the test split: {len(kept)} kept, {(kept == ARTIFACT).sum()} of them artifacts; {len(rejected)} rejected, "
        f"{(rejected == CLEAN).sum()} of them clean; {(decisions == REVIEW).sum()} for review.{but}"
    )


def threshold(row: pd.Series) -> str:
    share_left = f" ({row.residual:.1%})" if row.images_kept else ""
    return (
        f"At the threshold in use, {row.threshold:.3f}: {row.images_kept:.0f} images are kept, "
        f"{row.artifacts_left:.0f} of them artifacts{share_left}; {row.clean_lost:.0f} clean ones are lost."
    )


def outcome(run: Evaluation, name: str) -> str:
    count = len(run.rows(name))
    if not (run.targets == OUTCOMES[name][0]).any():
        return f"There can be no {name}: {run.one_class}."
    if not count:
        return f"There are no {name}."
    if not run.files:
        return f"{count} {name}; the images are not there."
    return f"{count} {name}. The most confident come first, the least confident last; below each its heat map."


def pointing(table: pd.DataFrame) -> str:
    both, kinds = table.loc["all"], table.drop("all")
    better, worse = (kinds["value"] > kinds["centre"]).sum(), (kinds["value"] < kinds["centre"]).sum()
    return (
        f"The heat map points at the artifact in {share(both)} of {both['n']:.0f} images, the centre (x) in "
        f"{both['centre']:.1%}. Of {len(kinds)} kinds the heat map is better for {better} and worse for {worse}."
    )


def regions(table: pd.DataFrame, scorer: Scorer) -> str:
    """table: see `localization.localization_table`."""
    found, by_kind = table[table["found"]], table.groupby("kind")["iou"].mean().sort_values()
    right = int((found["named"] == found["family"]).sum())
    low, high = wilson(right, len(found))
    share_right = f"{right / len(found):.1%} ({low:.1%} to {high:.1%})" if len(found) else ""
    named = f"in {share_right} of the {len(found)}" if len(found) else "in none of 0"
    return (
        f"Regions of {scorer.model_id} on {len(table)} injected artifacts: mean IoU with the mask "
        f"{table['iou'].mean():.2f}; worst {_listed(by_kind.head(3))}, best {_listed(by_kind.tail(3))}. "
        f"The family is named right {named} that it finds."
    )


def _listed(values: pd.Series) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in values.items())


def kinds(cells: pd.DataFrame) -> str:
    injected, clean = cells[cells["kind"] != CLEAN_ROW], cells[cells["kind"] == CLEAN_ROW].iloc[0]
    found = injected.groupby("severity")["recall"].mean()
    weakest = injected.groupby("kind")["recall"].mean().sort_values().head(5)
    return (
        f"Found: {', '.join(f'{value:.0%} at severity {severity}' for severity, value in found.items())}; "
        f"{clean['detected']} of {clean['n']} untouched images are called artifacts. "
        f"Weakest: {', '.join(f'{kind} {value:.0%}' for kind, value in weakest.items())}."
    )


def stability(table: pd.DataFrame) -> str:
    any_row, worst = table.loc["any"], table.drop("any")["value"].idxmax()
    return (
        f"{share(any_row)} of {any_row['n']:.0f} verdicts flip under at least one re-encoding; "
        f"the worst is {worst}: {share(table.loc[worst])}."
    )


def subgroups(groups: pd.DataFrame) -> str:
    if groups["p"].isna().all():
        return "Too few images for a comparison."
    (rate, measure, _), p = groups["p"].idxmin(), groups["p"].min()
    verdict = "a difference is shown" if p < SIGNIFICANT else "none is shown, which with few images proves little"
    empty = [rate for rate, rows in groups.groupby("rate") if not rows["n"].any()]
    but = f" Nothing is known of {' and '.join(empty)}: there is no such image." if empty else ""
    tests = len(groups.groupby(["rate", "measure"]))
    what = f"Largest difference of low and high tertile: {rate} by {measure}"
    return f"{what}, p = {p:.2g} after Holm over {tests} tests: {verdict}.{but}"


def comparison(first: Evaluation, second: Evaluation) -> str:
    both = match(first.table, second.table)
    right = [np.equal(both[f"prediction_{side}"], both["label_first"]) for side in ("first", "second")]
    only_first, only_second, p = mcnemar(*right)
    better = first.source if only_first > only_second else second.source
    verdict = f"{better} is right more often" if p < SIGNIFICANT else "no difference is shown"
    return (
        f"{first.source} (first) and {second.source} (second) on {len(both)} images: {only_first} are right only in "
        f"the first, {only_second} only in the second; McNemar's exact p = {p:.2g}: {verdict}."
    )
