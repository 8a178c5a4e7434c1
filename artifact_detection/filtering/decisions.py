"""What people decided about images, as the review page exports it: decisions.csv with path, sha256, decision."""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from artifact_detection.evaluation.bands import KEEP, REJECT, REVIEW
from artifact_detection.filtering.store import Record
from artifact_detection.system.paths import first_of, printable_path
from artifact_detection.system.tables import read_spreadsheet

COLUMNS = ("path", "sha256", "decision")
BANDS = (KEEP, REVIEW, REJECT)  # by a person: clean, not sure, an artifact
LISTED = 10  # paths named in a line
EXPORT = "export decisions.csv on the review page, and name it where the browser has put it"

Key = tuple[str, str]  # (path, sha256): a decision holds for the bytes that were seen, under the name they had


class DecisionError(Exception):
    """A table that is no list of decisions; the message says why."""


class Decisions(dict[Key, str]):
    """(path, sha256) -> keep, review or reject. Review: looked at, and not sure.

    repeated: rows that say what an earlier row said; contradicted: images with rows that differ, which are for review.
    """

    def __init__(self, rows: Iterable[tuple[Key, str]] = ()):
        super().__init__()
        self.repeated, self.contradicted = 0, set()
        for key, word in rows:
            if key in self and self[key] == word:
                self.repeated += 1
            elif key in self:
                self.contradicted.add(key)
            self.setdefault(key, word)
        self.update(dict.fromkeys(self.contradicted, REVIEW))

    def remarks(self, records: Iterable[Record]) -> Iterator[str]:
        """A line for each thing that is odd: rows twice, rows that differ, rows for no image among `records`."""
        if self.repeated:
            yield f"decisions: {self.repeated} rows say again what another row says, counted once"
        if self.contradicted:
            yield _named("decided twice and differently, so for review", {path for path, _ in self.contradicted})
        shas = {path: sha256 for path, sha256 in (key_of(record) for record in records)}
        unmatched = [key for key in self if shas.get(key[0]) != key[1]]
        changed, absent = ({path for path, _ in unmatched if (path in shas) is there} for there in (True, False))
        if changed:
            yield _named("decisions not used, look again: the file has changed since", changed)
        if absent:
            yield _named("decisions not used, gone or of another run: no such image among the inputs", absent)


def key_of(record: Record) -> Key:
    """What decisions.csv and audit.csv call an image."""
    return printable_path(record.path), record.sha256


def _named(what: str, paths: Collection[str]) -> str:
    return f"{what}: {len(paths)} ({', '.join(first_of(sorted(paths), LISTED))})"


def read_decisions(path: Path) -> Decisions:
    """The decisions of a CSV file, also of one that a spreadsheet saved. Raises DecisionError for any other file."""
    try:
        rows = read_spreadsheet(path)
    except ValueError as error:
        raise DecisionError(str(error)) from error
    except OSError as error:
        raise DecisionError(f"{path}: {error.strerror}: {EXPORT}") from error
    if not set(COLUMNS) <= rows[0].keys():
        raise DecisionError(f"{path}: it needs the columns {', '.join(COLUMNS)}: {EXPORT}")
    said = [((row["path"], row["sha256"].strip().lower()), row["decision"].strip().lower()) for row in rows]
    for (name, _), decision in said:
        if decision not in BANDS:
            raise DecisionError(f"{path}: decision {decision!r} of {name}; known: {', '.join(BANDS)}")
    return Decisions(said)
