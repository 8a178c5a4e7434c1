"""CSV and TOML files of plain values, written whole or not at all."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from artifact_detection.system.files import write_atomic


def write_table(path: Path, columns: Sequence[str], rows: Iterable[dict[str, object]]) -> None:
    """Write a CSV file (UTF-8) as `write_atomic` does. A file that says the same already is left alone."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    data = text.getvalue().encode("utf-8")
    if not path.exists() or path.read_bytes() != data:
        write_atomic(path, data)


def read_table(path: Path, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV file. Raises ValueError, without its name, if it is damaged or lacks a column."""
    with open(path, encoding="utf-8-sig", newline="") as handle:
        reader = csv.DictReader(handle, strict=True)
        try:
            if not set(columns) <= set(reader.fieldnames or ()):
                raise ValueError(f"it needs the columns {', '.join(columns)}")
            for row in reader:
                if None in row or None in row.values():
                    raise ValueError(f"line {reader.line_num} is too long or too short")
                yield row
        except csv.Error as error:
            raise ValueError(str(error)) from error


def to_toml(tables: dict[str, dict]) -> str:
    """Tables of plain values as TOML; JSON's spelling of strings, numbers and booleans is also TOML's."""
    parts = []
    for table, values in tables.items():
        parts += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items()), ""]
    return "\n".join(parts)
