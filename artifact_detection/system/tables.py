"""CSV and TOML files of plain values, written whole or not at all."""

import codecs
import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from artifact_detection.system.files import write_atomic

csv.field_size_limit(2**31 - 1)  # a cell may be longer than 128 KiB


def write_table(path: Path, columns: Sequence[str], rows: Iterable[dict[str, object]]) -> None:
    """Write a CSV file (UTF-8) as `write_atomic` does. A file that says the same already is left alone."""
    data = table_text(columns, rows).encode("utf-8")
    if not path.exists() or path.read_bytes() != data:
        write_atomic(path, data)


def table_text(columns: Sequence[str], rows: Iterable[dict[str, object]]) -> str:
    """A CSV file's text that `csv.reader` gives back exactly, whatever line breaks its cells hold."""
    lines = _Lines()
    writer = csv.DictWriter(lines, columns)
    writer.writeheader()
    writer.writerows(rows)
    return "".join(lines)


def frame_text(frame: Any) -> str:
    """The text of a pandas.DataFrame, as `table_text` gives it."""
    lines = _Lines()
    frame.to_csv(lines, index=False, lineterminator="\r\n")
    return "".join(lines)


class _Lines(list):
    """Takes lines that end with \\r\\n, for only then the csv module quotes both characters, and ends them with \\n."""

    def write(self, line: str) -> None:
        self.append(line.removesuffix("\r\n") + "\n")


SEPARATORS = ",;\t"


def separator(header: str) -> str:
    """What separates the columns of a table with this first line: a comma, or what a spreadsheet wrote instead."""
    return max(SEPARATORS, key=re.sub('"[^"]*"', "", header).count)


def read_table(path: Path, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV file, but empty ones. Raises ValueError, without its name, if it is damaged or lacks a
    column."""
    with open(path, encoding="utf-8-sig", newline="") as handle:
        delimiter = separator(handle.readline())
        handle.seek(0)
        reader = csv.DictReader(handle, strict=True, delimiter=delimiter)
        try:
            if not set(columns) <= set(reader.fieldnames or ()):
                raise ValueError(f"it needs the columns {', '.join(columns)}")
            for row in reader:
                if None in row or None in row.values():
                    raise ValueError(f"line {reader.line_num} is too long or too short")
                if any(row.values()):
                    yield row
        except csv.Error as error:
            raise ValueError(str(error)) from error


def read_spreadsheet(path: Path) -> list[dict[str, str]]:
    """The rows of a table from anywhere, as texts by their column's name in lower case.

    Separators: comma, semicolon, tab. UTF-8 with or without a BOM, UTF-16 with one. What a spreadsheet adds or leaves
    out is forgiven: a first line `sep=;`, empty rows and columns, empty cells that end a row; pandas' index, too.
    Raises ValueError, with the file's name, for anything else; OSError if it cannot be read.
    """
    data = path.read_bytes()
    try:
        text = data.decode("utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a CSV file in UTF-8, save it as one (CSV UTF-8): {error}") from error
    if "\0" in text:
        raise ValueError(f"{path} is not a CSV file in UTF-8: it holds NUL characters")
    told = re.match(r"sep=(.)\r?\n", text)
    text = (text[told.end() :] if told else text).lstrip("\r\n")
    delimiter = told[1] if told else separator(text.partition("\n")[0])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        lines = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise ValueError(f"{path} is not a CSV file: line {reader.line_num}: {error}") from error
    return _rows(lines, path)


def _rows(lines: list[tuple[int, list[str]]], path: Path) -> list[dict[str, str]]:
    if len(lines) < 2:
        raise ValueError(f"{path} has no rows" if lines else f"{path} is not a CSV file: it is empty")
    columns = [name.strip().lower() for name in lines[0][1]]
    repeated = {name for name in columns if name and columns.count(name) > 1}
    if repeated:
        raise ValueError(f"{path} has the column {', '.join(sorted(repeated))} twice: capitals do not count")
    if columns[0] == "" and all(row[0].isdigit() for _, row in lines[1:]):
        columns, lines = columns[1:], [(number, row[1:]) for number, row in lines]  # what pandas numbers its rows with
    for number, row in lines[1:]:
        if any(row[len(columns) :]) or any(cell for name, cell in zip(columns, row, strict=False) if not name):
            raise ValueError(f"{path}: line {number} has a cell without a column's name")
    filled = (row + [""] * (len(columns) - len(row)) for _, row in lines[1:])
    return [{name: cell for name, cell in zip(columns, row, strict=False) if name} for row in filled]


def to_toml(tables: dict[str, dict]) -> str:
    """Tables of plain values as TOML; JSON's spelling of strings, numbers and booleans is also TOML's."""
    parts = []
    for table, values in tables.items():
        parts += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items()), ""]
    return "\n".join(parts)
