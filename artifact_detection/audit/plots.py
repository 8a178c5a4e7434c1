"""The figures of EDA.ipynb and of the audit's report. A function returns a matplotlib Figure; none shows one."""

from functools import partial

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from artifact_detection.audit.checks import LOOK, OK, STOP, Check
from artifact_detection.audit.dataset import UNLABELLED, Audit
from artifact_detection.audit.shortcuts import global_features, metadata_features, separations
from artifact_detection.figures import BLUE, GREY, RED, panels, plot_gallery
from artifact_detection.images.candidates import hash_distances
from artifact_detection.images.decoding import read_image
from artifact_detection.images.transforms import within
from artifact_detection.labels import ARTIFACT, CLASSES, CLEAN

COLOURS = {CLASSES[CLEAN]: BLUE, CLASSES[ARTIFACT]: RED, "unlabelled": GREY}
VERDICT_COLOURS = {OK: "#d9efdc", LOOK: "#fdf0c4", STOP: "#f6cfca"}
SIDE = 128  # pixels of a picture in a gallery
_panels = partial(panels, height=3.2, grid=False)


def class_names(table: pd.DataFrame) -> pd.Series:
    return table["label"].map({CLEAN: CLASSES[CLEAN], ARTIFACT: CLASSES[ARTIFACT], UNLABELLED: "unlabelled"})


def verdicts(checks: list[Check]) -> Styler:
    table = pd.DataFrame([vars(check) for check in checks]).rename(columns={"name": "check"})
    paint = {verdict: f"background-color: {colour}" for verdict, colour in VERDICT_COLOURS.items()}
    left = {"text-align": "left"}
    return table.style.map(paint.get, subset=["verdict"]).hide(axis="index").set_properties(**left)


def plot_balance(audit: Audit) -> Figure:
    figure, (axis,) = _panels(1, width=5)
    none = "in no split" if audit.usable["split"].any() else "all"
    rows = audit.usable.assign(split=audit.usable["split"].replace("", none), **{"class": class_names(audit.usable)})
    sns.countplot(rows, x="split", hue="class", palette=COLOURS, ax=axis)
    for bars in axis.containers:
        axis.bar_label(bars, fontsize=8)
    axis.set(xlabel="", ylabel="images")
    return figure


def plot_sizes(audit: Audit) -> Figure:
    figure, (sizes, weights) = _panels(2)
    rows = audit.usable.assign(bits=8 * audit.usable["bytes"] / (audit.usable["width"] * audit.usable["height"]))
    counts = rows.groupby(["width", "height", "format"]).size().reset_index(name="images")
    sns.scatterplot(counts, x="width", y="height", hue="format", size="images", sizes=(30, 200), ax=sizes)
    sns.histplot(rows, x="bits", hue="format", bins=30, element="step", ax=weights)
    sizes.set(xlabel="width, pixels", ylabel="height, pixels")
    weights.set(xlabel="file size, bits per pixel", ylabel="images")
    return figure


def plot_measures(audit: Audit, measures: tuple[str, ...]) -> Figure:
    """The distribution of each measure by class, each class scaled to the same area."""
    figure, axes = _panels(len(measures), width=3.4)
    rows = audit.usable.assign(**{"class": class_names(audit.usable)})
    for axis, measure in zip(axes, measures, strict=True):
        sns.histplot(
            rows, x=measure, hue="class", palette=COLOURS, stat="density", common_norm=False, bins=25,
            element="step", legend=axis is axes[0], ax=axis,
        )  # fmt: skip
        axis.set(ylabel="density" if axis is axes[0] else "")
    return figure


def plot_pairs(audit: Audit, pairs: pd.DataFrame, most: int = 6) -> Figure:
    """Pairs side by side: columns first, second (rows of the table), kind."""
    if pairs.empty:
        return _note("no such pair")
    pictures, titles = [], []
    for pair in pairs.head(most).itertuples():
        for row in (pair.first, pair.second):
            file = audit.table.loc[row]
            pictures.append(within(read_image(file["path"]), SIDE))
            titles.append(f"{pair.kind}\n{_caption(file)}")
    return plot_gallery(pictures, titles)


def closest_strangers(audit: Audit, most: int = 3, rows: int = 2000) -> pd.DataFrame:
    """The pairs of different pictures with the nearest hashes among the first `rows`: first, second, kind."""
    usable = audit.usable.drop_duplicates("group").head(rows)
    distances = hash_distances(audit.thumbnails[usable.index]).astype(float)
    distances[np.tril_indices(len(distances))] = np.inf
    first, second = np.unravel_index(np.argsort(distances, axis=None)[:most], distances.shape)
    kinds = [f"{distances[i, j]:.0f} of 128 bits" for i, j in zip(first, second, strict=True)]
    return pd.DataFrame({"first": usable.index[first], "second": usable.index[second], "kind": kinds})


def plot_similarity(audit: Audit, most: int = 120) -> Figure:
    """Share of equal hash bits between images, duplicates first, then by class: blocks are families of pictures."""
    usable = audit.usable.assign(copies=audit.usable.groupby("group")["group"].transform("size"))
    doubles = usable[usable["copies"] > 1].head(most // 2)
    others = usable.drop(index=doubles.index)
    others = others.sample(min(len(others), most - len(doubles)), random_state=0).sort_values(["label", "name"])
    rows = [*doubles.sort_values("group").index, *others.index]
    figure, (axis,) = _panels(1, width=5, height=4.2)
    similarity = 1 - hash_distances(audit.thumbnails[np.array(rows, dtype=int)]) / 128
    sns.heatmap(similarity, vmin=0.3, vmax=1, square=True, cmap="viridis", ax=axis)
    axis.set(
        xticks=[], yticks=[], xlabel=f"{len(doubles)} images with duplicates, then {len(others)} without, by class"
    )
    return figure


def plot_separations(audit: Audit) -> Figure:
    """ROC-AUC of every metadata and global feature alone, constant ones left out; 0.5 is chance."""
    rows = audit.labelled
    if rows["label"].nunique() < len(CLASSES):
        return _note("there are not two classes")
    figure, axes = _panels(2, width=4)
    for axis, features in zip(axes, (metadata_features, global_features), strict=True):
        alone = separations(features(rows), rows["label"].to_numpy())
        sns.barplot(x=alone, y=alone.index, color=GREY, ax=axis)
        axis.set(xlim=(0.5, 1), xlabel="ROC-AUC of this alone", ylabel="")
    return figure


def plot_rows(audit: Audit, rows: pd.DataFrame, measure: str | None = None, most: int = 12) -> Figure:
    """A gallery of table rows; the titles give the value of `measure`."""
    if rows.empty:
        return _note("no such image")
    rows = rows.head(most)
    values = [""] * len(rows) if measure is None else [f"{measure} {value:.3g}\n" for value in rows[measure]]
    titles = [value + _caption(file) for value, (_, file) in zip(values, rows.iterrows(), strict=True)]
    return plot_gallery([within(read_image(path), SIDE) for path in rows["path"]], titles)


def samples(audit: Audit, each: int = 6) -> pd.DataFrame:
    shuffled = audit.usable.sample(frac=1, random_state=0)
    return shuffled.groupby(["split", "label"], sort=True).head(each).sort_values(["split", "label"], kind="stable")


def plot_means(audit: Audit) -> Figure:
    """The mean thumbnail of each class and their difference: what a network could use without seeing artifacts."""
    figure, axes = _panels(len(CLASSES) + 1, width=2.4, height=2.4)
    means = []
    for axis, label in zip(axes, (CLEAN, ARTIFACT), strict=False):
        chosen = audit.thumbnails[audit.usable.index[audit.usable["label"] == label]]
        means.append(chosen.mean(axis=0) if len(chosen) else np.full(audit.thumbnails.shape[1:], np.nan))
        axis.imshow(means[-1], cmap="gray", vmin=0, vmax=255)
        axis.set_title(f"{CLASSES[label]} ({len(chosen)})", fontsize=9)
    shown = axes[-1].imshow(means[ARTIFACT] - means[CLEAN], cmap="coolwarm", vmin=-40, vmax=40)
    axes[-1].set_title("difference", fontsize=9)
    figure.colorbar(shown, ax=axes[-1], shrink=0.8)
    for axis in axes:
        axis.set_axis_off()
    return figure


def _note(text: str) -> Figure:
    figure = Figure(figsize=(3, 0.4))
    figure.add_subplot().set_axis_off()
    figure.text(0, 0.5, text, fontsize=9, color=GREY)
    return figure


def _caption(file: pd.Series) -> str:
    name = file["name"].rpartition("/")[2]
    return f"{file['split']} {class_names(file.to_frame().T).iloc[0]}\n{name[-24:]}".strip()
