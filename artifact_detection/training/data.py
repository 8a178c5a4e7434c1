"""From class folders to decoded images: file lists and grouped, stratified splits.

The order keeps results honest: near-duplicates are grouped, then split, and only the training part is oversampled.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from artifact_detection.detector.checkpoints import CERTIFIES, CHOOSES, REPEATS
from artifact_detection.images.decoding import upright_size
from artifact_detection.images.duplicates import group_ids, near_duplicate_pairs
from artifact_detection.images.listing import Listing, list_image_files
from artifact_detection.images.measurements import THUMBNAIL
from artifact_detection.images.transforms import Preprocessing, narrowed, resize
from artifact_detection.injection import inject_random
from artifact_detection.labels import ARTIFACT, CLASSES, CLEAN
from artifact_detection.system.paths import path_of, printable, printable_path
from artifact_detection.training.cache import StreamedImages, cached_images

FEWEST_CERTIFYING = 20  # groups of each class: with fewer even a faultless model could be promised next to nothing


class DatasetError(Exception):
    """A dataset that cannot be trained on; the message says what to do."""


def list_images(dataset: Path, split: str) -> tuple[pd.DataFrame, Listing]:
    """The images of dataset/<split>/{no_artifacts,artifacts}/, sorted: columns path (see ImageSet), label.

    The listing says what is left out: images in no class folder, too. Raises DatasetError if there is no image.
    """
    listing, rows = list_image_files(dataset / split), []
    for path in listing.files:
        name = path.relative_to(dataset / split)
        if name.parts[0] in CLASSES:
            printed = printable_path(path.relative_to(dataset).as_posix())
            rows.append({"path": printed, "label": CLASSES.index(name.parts[0])})
        else:
            listing.left_out[printable(name.as_posix())] = f"not in {' or '.join(f'{name}/' for name in CLASSES)}"
    if not rows:
        raise DatasetError(f"no images in {dataset / split}/{{{','.join(CLASSES)}}}: run organize_dataset.py first")
    return pd.DataFrame(rows).sort_values(["label", "path"], ignore_index=True), listing


@dataclass(frozen=True)
class ImageSet:
    """Decoded images with what is known of them; `errors` names the files that could not be used.

    table: columns path (relative to root, as `printable_path` writes it), label, row, one line an image; aspect where
    the images are to be as wide for their height as their files are.
    pixels: (N, H, W, 3) uint8, indexed by `row`: what the network sees, or larger whole images that are still to be
    fitted (`Preprocessing.fit`).
    """

    root: Path
    table: pd.DataFrame
    pixels: np.ndarray | StreamedImages
    errors: dict[str, str]
    others: tuple[str, ...] = ()  # names of files that are no images and were left alone

    @property
    def files(self) -> list[Path]:
        return [self.root / path_of(path) for path in self.table["path"]]

    @property
    def labels(self) -> np.ndarray:
        return self.table["label"].to_numpy()

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> np.ndarray:
        image = self.pixels[self.table["row"].iat[index]]
        return narrowed(image, self.table["aspect"].iat[index]) if "aspect" in self.table else image

    def __getstate__(self) -> dict:
        # A worker that is not forked (macOS, Windows, Python 3.14) gets a pickle: of a memory map only the path.
        mapped = isinstance(self.pixels, np.memmap)
        return vars(self) | ({"pixels": Path(self.pixels.filename)} if mapped else {})

    def __setstate__(self, state: dict) -> None:
        mapped = isinstance(state["pixels"], Path)
        vars(self).update(state | ({"pixels": np.load(state["pixels"], mmap_mode="r")} if mapped else {}))

    def take(self, rows: np.ndarray) -> "ImageSet":
        return replace(self, table=self.table.iloc[rows].reset_index(drop=True), errors={}, others=())

    def fingerprint(self) -> str:
        """A hash of names, labels and sizes, to tell whether two runs saw the same data."""
        rows = zip(self.table["path"], self.labels, self.files, strict=True)
        lines = (f"{name} {label} {file.stat().st_size}" for name, label, file in rows)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def load_images(dataset: Path, split: str, preprocessing: Preprocessing, cache: Path | None) -> ImageSet:
    """List, decode and fit the images of one split; unreadable ones are left out and named in `errors`."""
    table, listing = list_images(dataset, split)
    cached = cached_images([dataset / path_of(path) for path in table["path"]], preprocessing, cache)
    errors = {f"{split}/{name}": why for name, why in listing.missed.items()}
    errors |= {table["path"][row]: reason for row, reason in cached.errors.items()}
    usable = table.assign(row=np.arange(len(table))).drop(index=list(cached.errors)).reset_index(drop=True)
    if usable.empty:
        raise DatasetError(f"none of the {len(table)} images in {dataset / split} can be read")
    return ImageSet(dataset, usable, cached.images, errors, tuple(listing.others))


def unfitted(images: ImageSet, preprocessing: Preprocessing, cache: Path | None) -> ImageSet:
    """The same images, decoded again, larger than the network sees them: artifacts go in there.

    Twice as large: the whole image or, for a network that sees the face alone, its crop. Four times for one that sees
    both: the face then has the pixels that evaluation would give it. Whole images are as wide for their height as the
    file, for an artifact in a squeezed picture would be stretched where the others' are not.
    """
    table, times, crop = images.table.assign(row=np.arange(len(images))), 2, preprocessing.crop
    if crop != "face":
        table["aspect"] = [width / height for height, width in map(upright_size, images.files)]
        longer = np.median(np.maximum(table["aspect"], 1 / table["aspect"]))
        # stored square, so that the shorter side has as many pixels, too; more where what is squeezed is shrunk twice
        times, crop = math.ceil((4 if crop == "both" else 2 if longer < 1.1 else 3) * min(2.0, longer)), "full"
    larger = replace(preprocessing, size=times * preprocessing.size, crop=crop)
    return replace(images, table=table, pixels=cached_images(images.files, larger, cache).images)


def left_to_fit(preprocessing: Preprocessing) -> Preprocessing:
    """What is still to be done to `unfitted` images: faces are cropped already."""
    return replace(preprocessing, crop="full") if preprocessing.crop == "face" else preprocessing


def near_duplicate_groups(images: ImageSet) -> np.ndarray:
    """(N,) group numbers; images that show the same picture share one."""
    small = (resize(images[index], THUMBNAIL) for index in range(len(images)))
    thumbnails = np.stack([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in small])
    return group_ids(len(images), near_duplicate_pairs(thumbnails))


def _fewest_groups(labels: np.ndarray, groups: np.ndarray) -> tuple[int, str]:
    """How many groups the class with the fewest has, and its name."""
    return min((len(np.unique(groups[labels == label])), CLASSES[label]) for label in np.unique(labels))


def split_folds(labels: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Row numbers (rest, held out) of each fold: stratified by label, no group on both sides.

    labels, groups: (N,) integers. Raises DatasetError if a class has fewer groups than there are folds.
    """
    smallest, name = _fewest_groups(labels, groups)
    if smallest < folds:
        raise DatasetError(f"only {smallest} distinct image(s) of {name}: too few for {folds} parts")
    return list(StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(labels, labels, groups))


def split_by_group(labels: np.ndarray, groups: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers (training, validation): with about `share` of the images of each class in validation, at least one.

    Raises DatasetError if a class has too few groups to stand on both sides.
    """
    smallest, name = _fewest_groups(labels, groups)
    if smallest < 2:
        raise DatasetError(f"only {smallest} distinct image of {name}: it cannot stand in training and in validation")
    folds = max(2, round(1 / share))
    if smallest >= folds and abs(share - 1 / folds) < 0.01:
        parts = split_folds(labels, groups, folds, seed)[0]
        if 0.5 * share < len(parts[1]) / len(labels) < 1.5 * share:
            return parts
    # No fold is of this size: with two artifacts there would be two folds, and half of all images in validation; and a
    # group may be larger than a fold.
    return _split_unevenly(labels, groups, share, seed)


def _split_unevenly(labels: np.ndarray, groups: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers (training, validation): whole groups at random, those with an artifact apart from the others."""
    rng = np.random.default_rng(seed)
    names, members = np.unique(groups, return_inverse=True)
    kinds, sizes, held_out = np.zeros(len(names), int), np.bincount(members), np.zeros(len(names), bool)
    np.maximum.at(kinds, members, labels)
    for kind in np.unique(kinds):
        order = rng.permutation(np.flatnonzero(kinds == kind))
        room = round(share * sizes[order].sum())
        for group in order:
            held_out[group] = sizes[group] <= room
            room -= sizes[group] * held_out[group]
        if not held_out[order].any():
            held_out[order[sizes[order].argmin()]] = True
        if held_out[order].all() and len(order) > 1:
            held_out[order[-1]] = False
    return np.flatnonzero(~held_out[members]), np.flatnonzero(held_out[members])


def split_training(
    images: ImageSet, share: float, seed: int, inject: float = 0.0, groups: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of the training and of the validation part; DatasetError if there is nothing to learn from.

    groups: `near_duplicate_groups(images)` where they are known already.
    """
    if not (images.labels == ARTIFACT).any() and not inject:
        raise DatasetError("no training image is labelled artifacts: pass --inject 0.5 to train on synthetic ones")
    if not (images.labels == CLEAN).any():
        raise DatasetError("every training image is labelled artifacts: clean ones are needed to tell them from")
    return split_by_group(images.labels, near_duplicate_groups(images) if groups is None else groups, share, seed)


def validation_parts(labels: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """(n,) parts of the validation images: one half chooses, of the other an image of each group certifies.

    What was chosen on an image tells nothing about new ones, and near-duplicates count as one. All choose where a
    class has fewer than 2 * FEWEST_CERTIFYING groups.
    """
    parts = np.full(len(labels), CHOOSES)
    if _fewest_groups(labels, groups)[0] < 2 * FEWEST_CERTIFYING:
        return parts
    _, held_out = split_folds(labels, groups, 2, seed)[0]
    shuffled = np.random.default_rng(seed).permutation(held_out)
    _, first = np.unique(groups[shuffled], return_index=True)
    parts[held_out] = REPEATS
    parts[shuffled[first]] = CERTIFIES
    return parts


def inject_half(images: ImageSet, preprocessing: Preprocessing, seed: int, kinds: Sequence[str]) -> ImageSet:
    """Images that are still to be fitted, fitted, with an artifact of `kinds` in every second one, always the same."""
    pixels, preprocessing = np.empty((len(images), *preprocessing.shape, 3), np.uint8), left_to_fit(preprocessing)
    for index in range(len(images)):
        image = images[index]
        if index % 2 == 0:
            image = inject_random(image, np.random.default_rng((seed, index)), kinds)[0]
        pixels[index] = preprocessing.fit(image)
    labels = np.where(np.arange(len(images)) % 2, CLEAN, ARTIFACT)
    table = images.table.drop(columns="aspect", errors="ignore").assign(label=labels, row=np.arange(len(images)))
    return replace(images, table=table, pixels=pixels)
