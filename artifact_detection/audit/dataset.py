"""Which images a dataset folder holds, in which split and of which class; and the audit of all of them."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from artifact_detection.images.duplicates import duplicate_links, group_ids
from artifact_detection.images.listing import Listing, list_image_files
from artifact_detection.images.measure import measure_files
from artifact_detection.labels import CLASSES, DEFAULT_PATTERN, check_words, compile_pattern, parse_label
from artifact_detection.system.paths import printable

SPLITS = ("train", "validation", "val", "test")
UNLABELLED = -1


@dataclass(frozen=True)
class Audit:
    """Everything that is known of a dataset; the checks and figures are made from this.

    table: a row per image file: name (relative to the folder, printable), split ("" if the folders say none), label
    (0, 1, or -1 if unknown), group (rows that show one picture share it), then the columns of `measure_files`.
    links: the columns of `duplicate_links`; first and second are rows of the table. listing: what is left out, and why.
    """

    folder: Path
    table: pd.DataFrame
    links: pd.DataFrame
    thumbnails: np.ndarray
    listing: Listing

    @property
    def usable(self) -> pd.DataFrame:
        return self.table[self.table["error"] == ""]

    @property
    def labelled(self) -> pd.DataFrame:
        return self.usable[self.usable["label"] != UNLABELLED]


def audit_dataset(
    folder: str | Path, pattern: str = DEFAULT_PATTERN, artifact_label: str = "1", cache: bool = True
) -> Audit:
    """Measure all images below a folder: flat, train/ and test/, or {train,test}/{no_artifacts,artifacts}/.

    A class folder says the label, else the file name, by `pattern` and `artifact_label` (see `labels`). With `cache`,
    measurements are kept in `cache_path(folder)`, where that can be written. Raises NotADirectoryError; ValueError
    for a bad pattern or unknown words.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder")
    compiled, listing = compile_pattern(pattern), list_image_files(folder)
    files = _table([path.relative_to(folder) for path in listing.files], compiled, artifact_label)
    measured = measure_files(listing.files, cache_path(folder) if cache else None)
    links = duplicate_links(measured)
    files["group"] = group_ids(len(files), links)
    return Audit(folder, pd.concat([files, measured.table], axis=1), links, measured.thumbnails, listing)


def cache_path(folder: Path) -> Path:
    """Beside the dataset, not in it: .<name>.audit.npz."""
    folder = folder.resolve()
    return folder.parent / f".{folder.name}.audit.npz"


def _table(names: list[Path], pattern: re.Pattern[str], artifact_label: str) -> pd.DataFrame:
    rows = []
    check_words((name.name for name in names if not set(CLASSES) & set(name.parts[:-1])), pattern, artifact_label)
    for name in names:
        split = name.parts[0] if len(name.parts) > 1 and name.parts[0] in SPLITS else ""
        rows.append((printable(name.as_posix()), split, _label(name, pattern, artifact_label)))
    return pd.DataFrame(rows, columns=["name", "split", "label"]).astype({"label": np.int64})


def _label(name: Path, pattern: re.Pattern[str], artifact_label: str) -> int:
    for part in name.parts[:-1]:
        if part in CLASSES:
            return CLASSES.index(part)
    label = parse_label(name.name, pattern, artifact_label)
    return UNLABELLED if label is None else label
