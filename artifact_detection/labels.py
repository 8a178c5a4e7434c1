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
TRUTH = {  # spreadsheets translate TRUE and FALSE
    **dict.fromkeys(("false", "no", "f", "n", "falsch", "nein", "faux", "non", "falso", "onwaar"), CLEAN),
    **dict.fromkeys(("true", "yes", "t", "y", "wahr", "ja", "vrai", "oui", "verdadero", "vero", "waar"), ARTIFACT),
}
WORDS = TRUTH | {
    **dict.fromkeys(("0", "no_artifacts", "no_artifact", "no_artefacts", "no_artefact", "clean", "ok", "good"), CLEAN),
    **dict.fromkeys(("1", "artifacts", "artifact", "artefacts", "artefact", "bad"), ARTIFACT),
}  # what a label column can say without being asked about
NO_LABEL = ("", "nan", "na", "n/a", "#n/a", "null")
IMAGE_FORMATS = {
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF"
}  # fmt: skip
IMAGE_SUFFIXES = frozenset(IMAGE_FORMATS)


def compile_pattern(pattern: str = DEFAULT_PATTERN) -> re.Pattern[str]:
    """Compile a file-name pattern. Raises ValueError if it is no regex or has no group called `label`."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"--pattern {pattern!r} is not a regular expression: {error}") from error
    if "label" not in compiled.groupindex:
        raise ValueError(f"--pattern {pattern!r} needs a named group, e.g. {DEFAULT_PATTERN!r}")
    return compiled


def label_text(name: str, pattern: re.Pattern[str]) -> str | None:
    """The text of a file name's `label` group, or None if it has none."""
    match = pattern.search(PurePath(name).name)
    return match["label"] if match else None


def parse_label(name: str, pattern: re.Pattern[str], artifact_label: str = "1") -> int | None:
    """The class index that a file name says, or None if it says none.

    `artifact_label` is the text of the `label` group that means "artifact". If it is 0 or 1, the other digit is clean,
    the obvious WORDS mean what they say and `holiday_7.png` says nothing. If it is a word, the one other word is clean:
    whether there is no more than one, `check_words` tells.
    """
    text = label_text(name, pattern)
    if text is None:
        return None
    word, artifact = _word(text), _word(artifact_label)
    if word == artifact:
        return ARTIFACT
    if artifact in DIGITS:
        return CLEAN if word in DIGITS else WORDS.get(word)
    return CLEAN if WORDS.get(artifact) == CLEAN else WORDS.get(word, CLEAN)


def check_words(names: Iterable[str], pattern: re.Pattern[str], artifact_label: str) -> None:
    """Raises ValueError if a word in these file names is neither `artifact_label` nor known to be another."""
    if artifact_label not in DIGITS:
        class_numbers((label_text(name, pattern) or "" for name in names), artifact_label)


def class_numbers(texts: Iterable[str], artifact_label: str | None = None) -> list[int]:
    """Words to 1 (artifacts), 0 (clean) or -1 (one of NO_LABEL); capitals do not count, `1.0` is `1`.

    artifact_label: the word that means "artifacts"; the one other word is clean then, unless it is known to mean the
    same. Without it, or where it does not occur, every word must be one of WORDS. Raises ValueError if one is not:
    nothing is guessed.
    """
    texts = list(texts)
    words = [_word(text) for text in texts]
    said = {word: text.strip() for word, text in zip(words, texts, strict=True)}
    found, artifact = set(words) - set(NO_LABEL), _word(artifact_label or "")
    meant = WORDS.get(artifact, ARTIFACT)  # what the word for artifacts means to everybody else
    flipped = (
        artifact == "0" and found & TRUTH.keys()
    )  # FALSE is a 0: whether it means artifacts, too, only the user knows
    if found <= WORDS.keys() and not flipped and (artifact in DIGITS or meant == ARTIFACT or not found):
        meaning = WORDS | ({"0": ARTIFACT, "1": CLEAN} if artifact == "0" else {})
    elif artifact in found and len(found) <= 2 and all(WORDS.get(word) != meant for word in found - {artifact}):
        meaning = {word: ARTIFACT if word == artifact else CLEAN for word in found}
    else:
        listed = ", ".join(sorted(said[word] for word in found)[:4]) + (", ..." if len(found) > 4 else "")
        raise ValueError(f"{len(found)} different values ({listed}): which means artifacts? Name it (--artifact-label)")
    return [meaning.get(word, -1) for word in words]


def _word(text: str) -> str:
    """`No artifacts` to `no_artifacts`; `1.0` and `1,0`, as a column with gaps is written, to `1`."""
    return re.sub(r"^(\d+)[.,]0+$", r"\1", re.sub(r"[\s_-]+", "_", text.strip().casefold()))


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
