"""Read predictions: our CSV (`path,label,probability,prediction`) or another system's (`filename,prediction`)."""

from pathlib import Path

import numpy as np
import pandas as pd

from artifact_detection.labels import (
    ARTIFACT,
    CLASSES,
    CLEAN,
    DEFAULT_PATTERN,
    Prevalence,
    compile_pattern,
    parse_label,
)

PATH_COLUMNS = ("path", "filename", "file", "image", "name")


def read_predictions(path: str | Path, artifact_label: str = "1", pattern: str = DEFAULT_PATTERN) -> pd.DataFrame:
    """The rows of a CSV as columns path (str), label and prediction (0, 1; -1: none), probability (NaN: none).

    artifact_label: the text that means "artifacts" in the label column, the prediction column and file names;
    every other text is clean. The class names of this project mean what they say in any case. A file of this
    project has class numbers, whatever the names of its images say: leave it at "1" there.
    pattern: how the label is read from the file name if there is no label column.
    Raises ValueError if the file is no such CSV or contradicts itself, OSError if it cannot be read.
    """
    table = _read_text_columns(Path(path))
    name = next((column for column in PATH_COLUMNS if column in table), None)
    if name is None:
        raise ValueError(f"{path}: no column with the image's name ({', '.join(PATH_COLUMNS)})")
    if not {"prediction", "probability"} & set(table):
        raise ValueError(f"{path}: neither a prediction nor a probability column")
    if "label" in table:
        labels = _class_numbers(table["label"], artifact_label, f"{path}: label")
    else:
        compiled = compile_pattern(pattern)
        found = [parse_label(text, compiled, artifact_label) for text in table[name]]
        labels = np.array([-1 if label is None else label for label in found])
    probabilities = _probabilities(table, path)
    if "prediction" in table:
        predictions = _class_numbers(table["prediction"], artifact_label, f"{path}: prediction")
    else:
        predictions = (probabilities >= 0.5).astype(int)
    _refuse_contradictions(path, probabilities, predictions)
    columns = {"path": table[name], "label": labels, "probability": probabilities, "prediction": predictions}
    return pd.DataFrame(columns)


def polarity_question(table: pd.DataFrame) -> str:
    """A question to put to the user if "artifacts" would be the majority of the labels, else ""."""
    prevalence = Prevalence.of(table["label"][table["label"] >= 0])
    if not prevalence.looks_inverted:
        return ""
    return f"{prevalence.share:.0%} of the images would be {CLASSES[ARTIFACT]}: is the artifact label right?"


def _read_text_columns(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", skipinitialspace=True)
    except (ValueError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{path} is not a CSV file: {error}") from error
    if table.empty:
        raise ValueError(f"{path} has no rows")
    return table.rename(columns=str.lower)


def _class_numbers(column: pd.Series, artifact_label: str, what: str) -> np.ndarray:
    """Texts to 1 (artifacts), 0 (clean) or -1 (empty). `1.0`, as pandas writes a column with gaps, is `1`."""
    texts = column.str.strip().str.replace(r"^(\d+)\.0$", r"\1", regex=True)
    distinct = set(texts) - {""}
    if distinct <= set(CLASSES):
        artifact_label = CLASSES[ARTIFACT]
    elif len(distinct) > 2:
        raise ValueError(f"{what} has {len(distinct)} different values: {', '.join(sorted(distinct)[:4])}, ...")
    return np.select([texts == "", texts == artifact_label], [-1, ARTIFACT], CLEAN)


def _probabilities(table: pd.DataFrame, path: str | Path) -> np.ndarray:
    if "probability" not in table:
        return np.full(len(table), np.nan)
    try:
        values = pd.to_numeric(table["probability"].replace("", "nan")).to_numpy(float)
    except ValueError as error:
        raise ValueError(f"{path}: probability: {error}") from error
    if ((values < 0) | (values > 1)).any():
        raise ValueError(f"{path}: a probability must lie in [0, 1]")
    return values


def _refuse_contradictions(path: str | Path, probabilities: np.ndarray, predictions: np.ndarray) -> None:
    """A probability is always P(artifacts): it must be higher where artifacts are predicted."""
    known = ~np.isnan(probabilities)
    flagged, passed = (probabilities[known & (predictions == value)] for value in (ARTIFACT, CLEAN))
    if len(flagged) and len(passed) and flagged.mean() < passed.mean():
        raise ValueError(
            f"{path}: probabilities are lower where {CLASSES[ARTIFACT]} are predicted than elsewhere: "
            f"they must be P({CLASSES[ARTIFACT]}), and the artifact label the right one"
        )
