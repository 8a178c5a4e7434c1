"""Sort flat, filename-labelled images into dataset/{train,test}/{artifacts,no_artifacts}/.

    python organize_dataset.py                                  # test_data/ -> dataset/
    python organize_dataset.py --source faces --splits train --dry-run
    python organize_dataset.py --labels decisions.csv           # what people decided about images, wherever they lie
    python organize_dataset.py --undo                            # a folder from elsewhere: --undo --restore-to DIR

The label stands in the file's name, or in a table: --labels takes any CSV with a column path or file and a column
label, decision or verdict. Without --source, the files that it names by their paths go into the first of --splits.

Sources are copied, moved (--mode move) or linked (--mode link); no file is ever overwritten or lost. The run can
be killed at any point: run it again and it ends as if it had not been. dataset/manifest.csv names every file: what
was placed where (paths are relative to its folder), and what was skipped and why.

Exit codes: 0 done; 1 done, but some files could not be used (listed); 2 wrong usage, or nothing usable.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import permutations
from pathlib import Path

from artifact_detection.labels import CLASSES, DEFAULT_PATTERN, Prevalence, check_words, compile_pattern, parse_label
from artifact_detection.labels_table import LabelsTable, read_labels
from artifact_detection.organizing import (
    PLANNED,
    SKIPPED,
    Row,
    inspect_all,
    judge,
    judge_by_table,
    merge,
    name_destinations,
    place,
    placed_rows,
    scan,
    sort_out,
)
from artifact_detection.system.files import FolderBusyError, exclusive_lock
from artifact_detection.system.manifest import NAME, Manifest, ManifestError
from artifact_detection.system.ownership import NotOursError, OwnFolder
from artifact_detection.system.paths import ROOT, first_of, lies_in, printable
from artifact_detection.system.transfers import MODES

TEST_DATA = ROOT / "test_data"
MAKER = "organize_dataset"
NOT_LOST = "No file is lost; the next run goes on from here"
LISTED = 50  # skipped files named on the terminal; the manifest names all


class UsageError(Exception):
    """The run cannot start as it was asked for; nothing was touched."""


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--source", type=Path, help="holds a folder per split (default: test_data/ beside this file)")
    parser.add_argument("--output", type=Path, default=ROOT / "dataset", help="default: dataset/ beside this file")
    parser.add_argument("--splits", nargs="+", default=["train", "test"], metavar="NAME", help="its subfolders")
    parser.add_argument(
        "--pattern", default=DEFAULT_PATTERN, help="regex with a group `label`, searched in a file's name"
    )
    parser.add_argument("--labels", type=Path, metavar="CSV", help="labels from a table, not from names")
    parser.add_argument(
        "--artifact-label", metavar="LABEL", help="the label that means artifact (default: 1, and what is obvious)"
    )
    parser.add_argument("--mode", choices=MODES, default="copy", help="link: hard links, which need no space")
    parser.add_argument("--dry-run", action="store_true", help="say what would happen; write nothing")
    parser.add_argument("--undo", action="store_true", help="put moved files back, remove copies and links")
    parser.add_argument(
        "--restore-to", type=Path, metavar="DIR",
        help="with --undo: for files of a dataset that was not organized on this machine, which go nowhere else",
    )  # fmt: skip
    parser.add_argument("--yes", action="store_true", help="more artifacts than clean images is what I mean")
    options = parser.parse_args(arguments)
    try:
        pattern = compile_pattern(options.pattern)
    except ValueError as error:
        parser.error(str(error))
    options.pattern, options.name_label = pattern, options.artifact_label or "1"
    options.label_of = partial(parse_label, pattern=pattern, artifact_label=options.name_label)
    options.listed = bool(options.labels and not options.source)
    options.source, options.output = (options.source or TEST_DATA).resolve(), options.output.resolve()
    options.splits = options.splits[:1] if options.listed else options.splits
    options.table = None
    if options.labels and not options.undo:
        roots = [(options.source / split).resolve() for split in options.splits]
        try:
            options.table = read_labels(options.labels, options.artifact_label, [*roots, options.source])
        except (ValueError, OSError) as error:
            parser.error(str(error))
        options.label_of = options.table.label_of
    return options


def refuse_folders(source: Path, output: Path, splits: list[str]) -> None:
    """Raise UsageError if a split is missing, or if what is written would be read again."""
    for split in splits:
        if split in ("", ".", "..") or Path(split).name != split:
            raise UsageError(f"--splits takes names of folders in --source, not {split!r}")
        if not (source / split).is_dir():
            hint = "name the splits there are with --splits"
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


def refuse_inverted(rows: Iterable[Row], artifact_label: str) -> None:
    """Raise UsageError if "artifacts" is the majority of a split: then 0 and 1 are probably swapped."""
    by_split: dict[str, dict[Path, int]] = {}
    for row in rows:
        if row.label is not None:
            by_split.setdefault(row.split, {})[row.source] = row.label
    other = {"0": "1", "1": "0"}.get(artifact_label, "LABEL")
    for split, by_source in by_split.items():
        share = Prevalence.of(by_source.values())
        if share.looks_inverted:
            raise UsageError(
                f"these labels look inverted: {share.artifacts} of {share.total} images in {split} would be called "
                f"artifacts. Pass --artifact-label {other}, or --yes if it is meant"
            )


def organize(options: argparse.Namespace, manifest: Manifest[Row]) -> int:
    """Sort the source into the output; return the exit code."""
    roots = {path.parent for path in options.table.files()} if options.listed else set()
    roots |= {(options.source / split).resolve() for split in options.splits if not options.listed}
    manifest.own.admit(roots, write=not options.dry_run)
    earlier = placed_rows(manifest)
    manifest.refuse_strange(earlier)
    refuse_other_settings(earlier, options)
    found = find(options)
    refuse_unknown_words(found, options)
    if not options.yes:
        refuse_inverted([*earlier, *found], options.name_label)
    inspect_all(found, earlier)
    if options.table:
        judge_by_table(found, options.table)
    rows = merge(found, earlier, options.output)
    name_destinations(rows)
    sort_out(rows, earlier, manifest)
    planned = sum(row.status == PLANNED for row in rows)
    placed = 0 if options.dry_run else place(rows, manifest)
    print_table(rows, options.splits)
    if options.dry_run:
        print(f"dry run: {planned} files to {options.mode}, nothing was written")
    else:
        done = {"copy": "copied", "move": "moved", "link": "linked"}[options.mode]
        print(f"{done} {placed} files to {options.output}" if planned else "nothing to do: all is in place")
    unmatched = name_unmatched(options.table) if options.table else 0
    return exit_code(rows, options.splits) or int(unmatched > 0)


def find(options: argparse.Namespace) -> list[Row]:
    """A row for every file below the source, or for every file that the table leads to."""
    if options.listed:
        found = [judge(path, "", options.splits[0], options.label_of, options.mode) for path in options.table.files()]
    else:
        folders = [((options.source / split).resolve(), split) for split in options.splits]
        found = [
            row
            for folder, split in folders
            for row in scan(folder, split, options.label_of, options.mode, options.output)
        ]
    if options.table:
        judge_by_table(found, options.table)
    return found


def name_unmatched(table: LabelsTable) -> int:
    """Name the rows of the table that no file was found for; return how many they are."""
    names = table.unmatched()
    if names:
        print(f"organize_dataset: no file for {len(names)} rows of {printable(table.path)}:", file=sys.stderr)
        print(*(f"  {name}" for name in first_of(names, LISTED)), sep="\n", file=sys.stderr)
    return len(names)


def exit_code(rows: list[Row], splits: list[str]) -> int:
    """2 if nothing is usable, 1 if a file or a whole split is not, else 0; says which folders stay empty."""
    usable = {(row.split, row.label) for row in rows if row.status != SKIPPED}
    absent = [(split, label) for split in splits for label in range(len(CLASSES)) if (split, label) not in usable]
    if absent:
        folders = ", ".join(f"{split}/{CLASSES[label]}" for split, label in absent)
        print(f"organize_dataset: no image for {folders}", file=sys.stderr)
    empty_split = set(splits) - {split for split, _ in usable}
    return 2 if not usable else int(bool(empty_split) or any(row.reason for row in rows))


def print_table(rows: list[Row], splits: list[str]) -> None:
    """The classes, and the files with a problem by its kind, in every split; then those files by name."""
    troubled = [row for row in rows if row.reason]
    counts = Counter((CLASSES[row.label], row.split) for row in rows if row.status != SKIPPED)
    counts.update((row.kind_of_problem, row.split) for row in troubled)
    splits = list(dict.fromkeys([*splits, *(row.split for row in rows)]))
    lines = [*CLASSES, *sorted({row.kind_of_problem for row in troubled})]
    width = max(map(len, lines))
    print(" " * width, *(f"{split:>7}" for split in splits))
    for line in lines:
        print(line.ljust(width), *(f"{counts[line, split]:>{max(7, len(split))}}" for split in splits))
    named = first_of([f"{row.source}: {row.reason}" for row in troubled], LISTED, f", all named in {NAME}")
    print(*(f"  {line}\n" for line in named), sep="", end="")


def undo(options: argparse.Namespace, manifest: Manifest[Row]) -> int:
    """Take an organized folder apart again; return the exit code. What cannot be undone stays and is named."""
    if not manifest.exists():
        raise UsageError(f"nothing to undo: no {NAME} in {options.output}")
    rows = manifest.going_home(placed_rows(manifest), options.restore_to)
    reasons = manifest.undo(rows, options.dry_run)
    if not options.dry_run:
        manifest.take_apart(rows, reasons)
    left = [f"  {printable(row.destination)}: {reason}" for row, reason in zip(rows, reasons, strict=True) if reason]
    print(*left, sep="\n", end="\n" * bool(left))
    would = "dry run: would undo" if options.dry_run else "undid"
    print(f"{would} the {options.mode if not rows else rows[0].mode} of {len(rows) - len(left)} files")
    return int(bool(left))


@contextmanager
def working_in(output: Path, undo: bool) -> Iterator[Manifest[Row]]:
    """Have the output folder for this process alone, freed of what a killed run left behind.

    At the end it is removed if it is empty, unless the user made it.
    """
    made = undo or not output.exists()
    output.mkdir(parents=True, exist_ok=True)
    try:
        with exclusive_lock(output):
            manifest = Manifest(OwnFolder.claim(output, MAKER, () if undo else (NAME,)), Row)
            try:
                manifest.recover(placed_rows(manifest))
                yield manifest
            finally:
                if not manifest.exists():
                    manifest.own.dissolve()
    finally:
        if made:
            with suppress(OSError):  # not empty
                output.rmdir()


@contextmanager
def looking_at(output: Path, undo: bool) -> Iterator[Manifest[Row]]:
    """The output folder for a dry run: nothing is written."""
    yield Manifest(OwnFolder.find(output) or OwnFolder(output, MAKER, ""), Row)


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments)
    sys.stdout.reconfigure(errors="backslashreplace")  # a name must not stop a run on a terminal without UTF-8
    act = undo if options.undo else organize
    try:
        if options.listed and not options.undo:
            refuse_own_files(options.table.files(), options.output, options.splits[0])
        elif not options.undo:
            refuse_folders(options.source, options.output, options.splits)
        elif not options.output.is_dir():
            raise UsageError(f"nothing to undo: no folder {options.output}")
        work_in = looking_at if options.dry_run else working_in
        with work_in(options.output, options.undo) as manifest:
            return act(options, manifest)
    except (UsageError, ManifestError, NotOursError, FolderBusyError) as error:
        print(f"organize_dataset: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print(f"organize_dataset: stopped. {NOT_LOST}", file=sys.stderr)
        return 130
    except OSError as error:
        where = printable(error.filename or options.output)
        print(f"organize_dataset: {error.strerror or error}: {where}. {NOT_LOST}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
