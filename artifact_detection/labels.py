"""The label contract: what the classes are called, how a file name says its label, which way round it is.

`CLASSES` is the only place where a class gets its index; nothing derives it from a directory listing.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath

CLASSES = ("no_artifacts", "artifacts")  # index 0, index 1; a probability is always P(artifacts)
CLEAN, ARTIFACT = 0, 1
FAMILIES = ("overlay", "occlusion", "anatomy", "generation")  # of artifacts, in the order of a detector's maps
DIGITS = ("0", "1")  # the label texts of the usual file names; which one means "artifact" is a setting
DEFAULT_PATTERN = r"_(?P<label>\d)(?=\.[^.]*$)"  # the last `_<digit>` before the extension
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})


def compile_pattern(pattern: str = DEFAULT_PATTERN) -> re.Pattern[str]:
    """Compile a file-name pattern. Raises ValueError if it is no regex or has no group called `label`."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"--pattern {pattern!r} is not a regular expression: {error}") from error
    if "label" not in compiled.groupindex:
        raise ValueError(f"--pattern {pattern!r} needs a named group, e.g. {DEFAULT_PATTERN!r}")
    return compiled


def parse_label(name: str, pattern: re.Pattern[str], artifact_label: str = "1") -> int | None:
    """The class index that a file name says, or None if it says none.

    `artifact_label` is the text of the `label` group that means "artifact". If it is 0 or 1, the other digit is
    clean and `holiday_7.png` says nothing; if it is any other text, every text but that one is clean.
    """
    match = pattern.search(PurePath(name).name)
    text = match["label"] if match else None
    if text is None or (artifact_label in DIGITS and text not in DIGITS):
        return None
    return ARTIFACT if text == artifact_label else CLEAN


@dataclass(frozen=True)
class Prevalence:
    """How many of `total` labelled images carry the label "artifacts"."""

    artifacts: int
    total: int

    @classmethod
    def of(cls, labels: Iterable[int]) -> "Prevalence":
        labels = list(labels)
        return cls(sum(label == ARTIFACT for label in labels), len(labels))

    @property
    def share(self) -> float:
        return self.artifacts / self.total if self.total else float("nan")

    @property
    def looks_inverted(self) -> bool:
        """True if "artifacts" would be the majority: in a generated dataset that is nearly always a mix-up."""
        return 2 * self.artifacts > self.total
