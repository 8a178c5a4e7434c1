"""The verdicts of an audit: per question one of ok, look and stop, and a sentence with the numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from artifact_detection.audit.dataset import SPLITS, UNLABELLED, Audit
from artifact_detection.audit.shortcuts import (
    ALIKE,
    PLANTED,
    Shortcut,
    find_shortcut,
    global_features,
    metadata_features,
)
from artifact_detection.images.listing import Listing, named
from artifact_detection.images.measure import MEASURES
from artifact_detection.intervals import wilson
from artifact_detection.labels import ARTIFACT, CLASSES, CLEAN, Prevalence

OK, LOOK, STOP = VERDICTS = "ok", "look", "stop"
FEW_ARTIFACTS = 100  # with fewer, no two models can be told apart
LEAKED_SHARE = 0.01  # of the test images: more make its numbers worthless
BAD_SHARE = 0.05  # of the files
OUTLIER = 5  # robust standard deviations from the median
WEAK_SHORTCUT, STRONG_SHORTCUT = 0.65, 0.9  # ROC-AUC
ENOUGH_POWER = 0.8  # with less, that nothing is shown says little


@dataclass(frozen=True)
class Check:
    name: str
    verdict: str
    finding: str


def run_checks(audit: Audit) -> list[Check]:
    return [check(audit, name) for name in CHECKS]


def check(audit: Audit, name: str) -> Check:
    return Check(name, *CHECKS[name](audit))


def worst(checks: list[Check]) -> str:
    return max((check.verdict for check in checks), key=VERDICTS.index)


def _integrity(audit: Audit) -> tuple[str, str]:
    bad = audit.table[audit.table["error"] != ""]
    if len(audit.usable) == 0:
        return STOP, f"None of {len(audit.table)} image files can be read."
    others = _left_out(audit.listing)
    if bad.empty:
        verdict = LOOK if audit.listing.missed else OK
        return verdict, f"All {len(audit.table)} image files decode completely.{others}"
    kinds = bad["error"].str.partition(":")[0].value_counts()
    reasons = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    verdict = STOP if len(bad) > BAD_SHARE * len(audit.table) else LOOK
    return verdict, f"{len(bad)} of {len(audit.table)} image files cannot be used: {reasons}.{others}"


def _left_out(listing: Listing) -> str:
    """Sentences that name what is no part of the audit."""
    missed = [f"{name} ({why})" for name, why in listing.missed.items()]
    others = f" {len(listing.others)} other files are left alone: {named(listing.others)}." if listing.others else ""
    return (f" {len(missed)} things are left out: {named(missed)}." if missed else "") + others


def _labels(audit: Audit) -> tuple[str, str]:
    unknown = audit.usable["name"][audit.usable["label"] == UNLABELLED].tolist()
    if not unknown:
        return OK, f"All {len(audit.usable)} images have a label."
    what = f"{len(unknown)} of {len(audit.usable)} images have no label in their name or folder"
    return LOOK, f"{what}: {named(unknown)}."


def _polarity(audit: Audit) -> tuple[str, str]:
    """Each split by itself, too: one may be labelled the other way round."""
    prevalence = Prevalence.of(audit.labelled["label"])
    if not prevalence.total:
        return LOOK, "Nothing is labelled."
    counts = f"{prevalence.artifacts} of {prevalence.total} images are labelled {CLASSES[ARTIFACT]}"
    splits = {split: Prevalence.of(rows["label"]) for split, rows in audit.labelled.groupby("split") if split}
    inverted = [f", {one.artifacts} of {one.total} in {split}" for split, one in splits.items() if one.looks_inverted]
    if prevalence.looks_inverted or inverted:
        return STOP, f"{counts}{''.join(inverted)}: the majority. Is the label the other way round?"
    if prevalence.artifacts in (0, prevalence.total / 2):
        return LOOK, f"{counts}: that does not show which way round the labels are."
    return OK, f"{counts}: the minority, as expected."


def _balance(audit: Audit) -> tuple[str, str]:
    """Each split by itself: one is learned from, the others are to prove something."""
    rows, splits = audit.labelled, [split for split in SPLITS if split in set(audit.usable["split"])]
    if not splits:
        verdict, text = _balance_of(rows, trained=True)
        return verdict, f"{text[0].upper()}{text[1:]}."
    found = {split: _balance_of(rows[rows["split"] == split], trained=split == "train") for split in splits}
    if "train" not in found:
        found["train"] = STOP, "there is no image, so training is impossible"
    if "test" not in found:
        found["test"] = LOOK, "there is no image, so nothing can be proved"
    if strays := int((audit.usable["split"] == "").sum()):
        found["in no split"] = LOOK, f"{strays} images, which are neither trained nor tested on"
    verdicts, texts = zip(*found.values(), strict=True)
    return max(verdicts, key=VERDICTS.index), "; ".join(map(": ".join, zip(found, texts, strict=True))) + "."


def _balance_of(rows: pd.DataFrame, trained: bool) -> tuple[str, str]:
    """Of labelled rows that are trained on, or only tested on."""
    prevalence = Prevalence.of(rows["label"])
    missing = [label for label in (CLEAN, ARTIFACT) if not (rows["label"] == label).any()]
    if missing:
        lack = f"all {prevalence.total} labelled images are {CLASSES[1 - missing[0]]}"
        lack = "nothing is labelled" if len(missing) == 2 else lack
        if trained:
            way_out = " without --inject" if missing == [ARTIFACT] and rows["group"].nunique() > 1 else ""
            return STOP, f"{lack}, so training is impossible{way_out}"
        return LOOK, f"{lack}, so a test proves nothing about {' and '.join(CLASSES[label] for label in missing)}"
    distinct = [rows.loc[rows["label"] == label, "group"].nunique() for label in (CLEAN, ARTIFACT)]
    if trained and min(distinct) < 2:
        name = CLASSES[int(np.argmin(distinct))]
        return STOP, f"only {min(distinct)} distinct image of {name}: it cannot stand in training and in validation"
    low, high = wilson(prevalence.artifacts, prevalence.total)
    text = f"{prevalence.share:.1%} artifacts (95 % interval {low:.1%} to {high:.1%})"
    if distinct[ARTIFACT] < FEW_ARTIFACTS:
        few = f"{distinct[ARTIFACT]} {'of them' if distinct[ARTIFACT] == prevalence.artifacts else 'distinct ones'}"
        return LOOK, f"{text}, with {few} models can hardly be told apart"
    return OK, text


def _shapes(audit: Audit) -> tuple[str, str]:
    usable = audit.usable
    sizes = (usable["width"].astype(str) + "x" + usable["height"].astype(str)).value_counts()
    kinds = (usable["format"] + " " + usable["mode"]).value_counts()
    if usable.empty:
        return LOOK, "No image."
    size = "All are" if len(sizes) == 1 else f"{len(sizes)} sizes, mostly"
    text = f"{size} {sizes.index[0]} pixels; " + ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    return (OK if len(kinds) == 1 else LOOK), f"{text}."


def _outliers(audit: Audit) -> tuple[str, str]:
    counts = {name: len(outliers(audit.usable, name)) for name in MEASURES}
    found = ", ".join(f"{count} by {name}" for name, count in counts.items() if count)
    limit = f"{OUTLIER} robust standard deviations from the median"
    return (LOOK, f"Beyond {limit}: {found}.") if found else (OK, f"No image is beyond {limit}.")


def _duplicates(audit: Audit) -> tuple[str, str]:
    sizes = audit.table["group"].value_counts()
    extra = int((sizes - 1).sum())
    if not extra:
        return OK, "No two images are found to show one picture."
    kinds = ", ".join(f"{count} {kind}" for kind, count in audit.links["kind"].value_counts().items())
    groups = int((sizes > 1).sum())
    return LOOK, f"{extra} images repeat another ({kinds}), in {groups} groups of up to {sizes.max()}."


def _leakage(audit: Audit) -> tuple[str, str]:
    splits = sorted(set(audit.usable["split"]) - {""}, key=SPLITS.index)
    if len(splits) < 2:
        return OK, "There is only one split: duplicates are kept together when it is divided."
    leaked = leaked_rows(audit)
    if leaked.empty:
        return OK, f"No picture is found in two of the splits {', '.join(splits)}."
    held_out = splits[-1]
    count, total = (int((rows["split"] == held_out).sum()) for rows in (leaked, audit.usable))
    verdict = STOP if count > LEAKED_SHARE * total else LOOK
    return verdict, f"{count} of {total} {held_out} images have a duplicate in another split."


def _contradictions(audit: Audit) -> tuple[str, str]:
    links = contradicting_links(audit)
    exact = int(links["kind"].isin(["same file", "same pixels"]).sum())
    if links.empty:
        return OK, "No duplicates are found with different labels."
    text = f"{len(links)} pairs of duplicates have different labels, {exact} of them with the same pixels"
    return (STOP if exact else LOOK), f"{text}; a clean image and its edited copy are such a pair, too."


def _shortcut(audit: Audit, features: Callable[[pd.DataFrame], pd.DataFrame], what: str) -> tuple[str, str]:
    rows = audit.labelled
    found = find_shortcut(features(rows), rows["label"].to_numpy(), rows["group"].to_numpy())
    return _judge_shortcut(found, what)


def _judge_shortcut(found: Shortcut, what: str) -> tuple[str, str]:
    if found.reason:
        return OK if found.reason == ALIKE else LOOK, f"{what}: {found.reason}."
    numbers = f"ROC-AUC {found.auc:.2f}, p = {found.p:.2f}"
    if not found.shown:
        power = f"one more number with ROC-AUC {PLANTED} alone would be shown in {found.power:.0%} of such datasets"
        return (OK if found.power >= ENOUGH_POWER else LOOK), f"{what}: no shortcut is shown ({numbers}); {power}."
    verdict = STOP if found.auc >= STRONG_SHORTCUT else LOOK
    how = "can tell" if found.auc >= WEAK_SHORTCUT else "can weakly tell"
    hint = f"strongest: {found.strongest}, alone {found.separation:.2f}"
    return verdict, f"{what} {how} the label without looking for artifacts ({numbers}; {hint}): a network could too."


CHECKS: dict[str, Callable[[Audit], tuple[str, str]]] = {
    "integrity": _integrity,
    "labels": _labels,
    "polarity": _polarity,
    "class balance": _balance,
    "sizes and formats": _shapes,
    "outliers": _outliers,
    "duplicates": _duplicates,
    "leakage between splits": _leakage,
    "contradicting labels": _contradictions,
    "shortcut by metadata": partial(_shortcut, features=metadata_features, what="File metadata"),
    "shortcut by colour": partial(_shortcut, features=global_features, what="Global brightness, sharpness and colour"),
}


def outliers(usable: pd.DataFrame, measure: str) -> pd.DataFrame:
    """The rows whose measure is beyond OUTLIER robust standard deviations of the median, worst first.

    The robust standard deviation is 1.4826 times the median absolute deviation; if over half of the values are equal,
    1.2533 times the mean one (Iglewicz and Hoaglin, "How to detect and handle outliers", 1993).
    """
    values = np.log1p(usable[measure]) if measure == "sharpness" else usable[measure]
    distance = (values - values.median()).abs()
    spread = 1.4826 * distance.median() or 1.2533 * distance.mean()
    beyond = distance[distance > max(OUTLIER * spread, 1e-6)]
    return usable.loc[beyond.sort_values(ascending=False).index]


def leaked_rows(audit: Audit) -> pd.DataFrame:
    """The rows whose group has members in more than one split."""
    usable = audit.usable[audit.usable["split"] != ""]
    splits = usable.groupby("group")["split"].transform("nunique")
    return usable[splits > 1]


def leaked_links(audit: Audit) -> pd.DataFrame:
    splits = audit.table["split"].to_numpy()
    first, second = splits[audit.links["first"]], splits[audit.links["second"]]
    return audit.links[(first != second) & (first != "") & (second != "")]


def contradicting_links(audit: Audit) -> pd.DataFrame:
    labels = audit.table["label"].to_numpy()
    first, second = labels[audit.links["first"]], labels[audit.links["second"]]
    return audit.links[(first != second) & (np.minimum(first, second) >= 0)]
