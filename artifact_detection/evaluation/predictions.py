"""Read predictions: our CSV (`path,label,probability,prediction`) or another system's (`filename,prediction`)."""

import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd

from artifact_detection.labels import (
    ARTIFACT,
    CLASSES,
    CLEAN,
    DEFAULT_PATTERN,
    DIGITS,
    NO_LABEL,
    Prevalence,
    class_numbers,
    compile_pattern,
    label_text,
)
from artifact_detection.labels_table import PATH_COLUMNS, refuse_nameless, with_slashes
from artifact_detection.system.tables import read_spreadsheet

NUMBER = r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?"
HALF = 0.5
CUT = "threshold"  # key in a table's attrs


def read_predictions(path: Path, artifact_label: str | None = None, pattern: str = DEFAULT_PATTERN) -> pd.DataFrame:
    """The rows of a table as columns path (str), label and prediction (0, 1; -1: none), probability (NaN: none).

    What is read: `read_spreadsheet`. artifact_label: the word that means "artifacts" in the label column, the
    prediction column and file names; it is needed for words that `class_numbers` does not know. A file of this project
    has class numbers, whatever the names of its images say: leave it out there.
    pattern: how the label is read from the file name if there is no label column. Without a prediction column the
    probabilities are cut at HALF, and `attrs[CUT]` says so.
    Raises ValueError if the file is no such table or contradicts itself, OSError if it cannot be read.
    """
    table = pd.DataFrame(read_spreadsheet(Path(path)))
    name = next((column for column in PATH_COLUMNS if column in table), None)
    if name is None:
        found = ", ".join(map(repr, table.columns))
        raise ValueError(
            f"{path}: no column with the image's name ({', '.join(PATH_COLUMNS)}) among {found}; "
            "columns are separated by commas, semicolons or tabs"
        )
    if not {"prediction", "probability"} & set(table):
        raise ValueError(f"{path}: neither a prediction nor a probability column")
    refuse_nameless(list(table[name]), Path(path))
    probabilities, classes = _probabilities(table, path), _classes(table, artifact_label, path)
    if "label" not in classes:
        classes["label"] = _labels_of_names(table[name], pattern, artifact_label, path)
    if "prediction" not in classes:
        classes["prediction"] = np.where(np.isnan(probabilities), -1, probabilities >= HALF)
    _refuse_contradictions(path, probabilities, classes["prediction"])
    # `./x/a.png` and `x\a.png` are `x/a.png`, and count as one image with it
    columns = {"path": table[name].map(with_slashes).map(os.path.normpath), **classes, "probability": probabilities}
    rows = pd.DataFrame(columns)[["path", "label", "probability", "prediction"]]
    rows.attrs |= {} if "prediction" in table else {CUT: HALF}
    return _refuse_two_answers(rows, path)


def polarity_question(table: pd.DataFrame) -> str:
    """A question to put to the user if "artifacts" would be the majority of the labels, else ""."""
    prevalence = Prevalence.of(table.drop_duplicates("path").query("label >= 0")["label"])
    if not prevalence.looks_inverted:
        return ""
    return f"{prevalence.share:.0%} of the images would be {CLASSES[ARTIFACT]}: is the artifact label right?"


def usable_rows(table: pd.DataFrame, threshold: float | None = None) -> pd.Series:
    """Which rows of `read_predictions` have a label and what the verdict is read from, each image's first row only."""
    verdict = table["prediction"] >= 0 if threshold is None else table["probability"].notna()
    return (table["label"] >= 0) & verdict & ~table["path"].duplicated()


def _classes(table: pd.DataFrame, artifact_label: str | None, path: str | Path) -> dict[str, np.ndarray]:
    """The class numbers of the columns label and prediction, as far as they are there."""
    columns = [name for name in ("label", "prediction") if name in table]
    with suppress(ValueError):  # both as one: a word that one of them lacks is known from the other
        numbers = class_numbers(table[columns].to_numpy().ravel(order="F"), artifact_label)
        return dict(zip(columns, np.split(np.array(numbers, int), max(1, len(columns))), strict=False))
    try:
        return {name: np.array(class_numbers(table[name], artifact_label)) for name in columns}
    except ValueError as error:
        raise ValueError(f"{path}: {', '.join(columns)}: {error}") from error


def _labels_of_names(names: pd.Series, pattern: str, artifact_label: str | None, path: str | Path) -> np.ndarray:
    compiled = compile_pattern(pattern)
    texts = [label_text(name, compiled) or "" for name in names]
    if artifact_label in (None, *DIGITS):  # then another number, as in holiday_7.png, is no label
        texts = ["" if text.isdigit() and text not in DIGITS else text for text in texts]
    try:
        return np.array(class_numbers(texts, artifact_label))
    except ValueError as error:
        raise ValueError(f"{path}: the labels in the names: {error}") from error


def _probabilities(table: pd.DataFrame, path: str | Path) -> np.ndarray:
    """(n,) float64; NaN for an empty cell. Decimal commas are read."""
    if "probability" not in table:
        return np.full(len(table), np.nan)
    texts = table["probability"].str.strip().str.replace(",", ".")
    known = ~texts.str.casefold().isin(NO_LABEL)
    strange = texts[known & ~texts.str.fullmatch(NUMBER)]
    values = texts.where(known & ~texts.index.isin(strange.index)).astype(float).to_numpy()
    if len(strange) or ((values < 0) | (values > 1)).any():
        wrong = strange if len(strange) else texts[(values < 0) | (values > 1)]
        where = table.loc[wrong.index[0], next(column for column in PATH_COLUMNS if column in table)]
        raise ValueError(f"{path}: the probability of {where} is {wrong.iloc[0]!r}, not a number in [0, 1]")
    return values


def _refuse_two_answers(table: pd.DataFrame, path: str | Path) -> pd.DataFrame:
    """The table, if rows of one name say the same; `usable_rows` counts them once."""
    names = table.drop_duplicates()["path"]
    if names.duplicated().any():
        raise ValueError(
            f"{path}: {names[names.duplicated()].iloc[0]} is listed twice and not with the same values: "
            "each image needs a name of its own, e.g. its path"
        )
    return table


def _refuse_contradictions(path: str | Path, probabilities: np.ndarray, predictions: np.ndarray) -> None:
    """A probability is always P(artifacts): it must be higher where artifacts are predicted."""
    known = ~np.isnan(probabilities)
    flagged, passed = (probabilities[known & (predictions == value)] for value in (ARTIFACT, CLEAN))
    if len(flagged) and len(passed) and flagged.mean() < passed.mean():
        raise ValueError(
            f"{path}: probabilities are lower where {CLASSES[ARTIFACT]} are predicted than elsewhere: "
            f"they must be P({CLASSES[ARTIFACT]}), and the artifact label the right one"
        )
