"""What organize_dataset.py refuses before it touches a file."""

import argparse
from collections.abc import Iterable
from itertools import permutations
from pathlib import Path

from artifact_detection.labels import CLASSES, Prevalence, check_words
from artifact_detection.organizing.options import TEST_DATA
from artifact_detection.organizing.plan import Row
from artifact_detection.system.paths import lies_in, printable


class UsageError(Exception):
    """The run cannot start as it was asked for; nothing was touched."""


def refuse_folders(source: Path, output: Path, splits: list[str]) -> None:
    """Raise UsageError if a split is missing, or if what is written would be read again."""
    for split in splits:
        if split in ("", ".", "..") or Path(split).name != split:
            raise UsageError(f"--splits takes names of folders in --source, not {split!r}")
        if not (source / split).is_dir():
            hint = f"images lie in {' and '.join(f'{name}/' for name in splits)} below --source; other names: --splits"
            if source == TEST_DATA:
                hint = "draw it: python -m artifact_detection.portraits --out test_data --seed 0"
            raise UsageError(f"no folder {source / split}: {hint}")
    folders = [(source / split).resolve() for split in splits]
    for read in folders:
        for written in ((output / split).resolve() for split in splits):
            if lies_in(read, written) or lies_in(written, read):
                raise UsageError(f"{written} and {read} overlap: choose another --output")
    for one, other in permutations(range(len(splits)), 2):
        if lies_in(folders[one], folders[other]):
            raise UsageError(f"{splits[one]} lies in {splits[other]} or is the same folder: name it once")


def refuse_own_files(files: list[Path], output: Path, split: str) -> None:
    """Raise UsageError if a file of the table lies where it would be written to."""
    inside = {folder: lies_in(folder, output / split) for folder in {path.parent for path in files}}
    own = next((path for path in files if inside[path.parent]), None)
    if own:
        raise UsageError(f"{printable(own)} is in the output already: choose another --output")


def refuse_other_settings(earlier: list[Row], options: argparse.Namespace) -> None:
    """Raise UsageError if the output was made with another mode or with another meaning of the labels."""
    roots = [(options.source / split).resolve() for split in options.splits]
    for row in earlier:
        if row.mode != options.mode:
            what = f"with --mode {row.mode}"
        elif (options.listed or any(map(row.source.is_relative_to, roots))) and is_labelled_otherwise(row, options):
            what = f"with other labels: {printable(row.source.name)} is in {CLASSES[row.label]} there"
        else:
            continue
        raise UsageError(f"{options.output} was made {what}. Run --undo first, or choose another --output")


def is_labelled_otherwise(row: Row, options: argparse.Namespace) -> bool:
    """A table need not name what was organized before."""
    label = options.label_of(row.source)
    return label != row.label and not (options.table and label is None)


def refuse_unknown_words(rows: list[Row], options: argparse.Namespace) -> None:
    """Raise UsageError if labels come from names that say more than two different things."""
    if not options.table:
        try:
            check_words((row.source.name for row in rows if not row.reason), options.pattern, options.name_label)
        except ValueError as error:
            raise UsageError(f"the labels in the names: {error}") from error


def refuse_inverted(rows: Iterable[Row], options: argparse.Namespace) -> None:
    """Raise UsageError if "artifacts" is the majority of a split: then 0 and 1 are probably swapped."""
    by_split: dict[str, dict[Path, int]] = {}
    for row in rows:
        if row.label is not None:
            by_split.setdefault(row.split, {})[row.source] = row.label
    other = "LABEL" if options.table else {"0": "1", "1": "0"}.get(options.name_label, "LABEL")
    is_decided = options.table and options.table.is_decided
    remedy = "Pass --yes if" if is_decided else f"Pass --artifact-label {other}, or --yes if"
    for split, by_source in by_split.items():
        share = Prevalence.of(by_source.values())
        if share.looks_inverted:
            raise UsageError(
                f"these labels look inverted: {share.artifacts} of {share.total} images in {split} would be called "
                f"artifacts. {remedy} it is meant"
            )
