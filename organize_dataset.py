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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from artifact_detection.images.listing import beside
from artifact_detection.labels import CLASSES
from artifact_detection.labels_table import LabelsTable
from artifact_detection.organizing import plan, refusals
from artifact_detection.organizing.options import parse_arguments
from artifact_detection.organizing.plan import Row, placed_rows
from artifact_detection.organizing.refusals import UsageError
from artifact_detection.system.locks import FolderBusyError, exclusive_lock
from artifact_detection.system.manifest import NAME, Manifest, ManifestError, count_undone
from artifact_detection.system.output import run_script
from artifact_detection.system.ownership import NotOursError, OwnFolder
from artifact_detection.system.paths import WORK, first_of, printable

MAKER = "organize_dataset"
NOT_LOST = "No file is lost; the next run goes on from here"
FOLDERS_NAMED = 4
LISTED = 50  # skipped files named on the terminal; the manifest names all


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments, __doc__)
    sys.stdout.reconfigure(errors="backslashreplace")  # a name must not stop a run on a terminal without UTF-8
    act = undo if options.undo else organize
    try:
        if options.listed and not options.undo:
            refusals.refuse_own_files(options.table.files(), options.output, options.splits[0])
        elif not options.undo:
            refusals.refuse_folders(options.source, options.output, options.splits)
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


def organize(options: argparse.Namespace, manifest: Manifest[Row]) -> int:
    roots = {path.parent for path in options.table.files()} if options.listed else set()
    roots |= {(options.source / split).resolve() for split in options.splits if not options.listed}
    earlier = placed_rows(manifest)
    manifest.own.admit(roots, write=False)
    manifest.refuse_strange(earlier)
    refusals.refuse_other_settings(earlier, options)
    manifest.own.admit(roots, write=not options.dry_run)
    found = find(options)
    refusals.refuse_unknown_words(found, options)
    if not options.yes:
        refusals.refuse_inverted([*earlier, *found], options)
    plan.inspect_all(found, earlier)
    if options.table:
        plan.judge_by_table(found, options.table)
    rows = plan.merge(found, earlier, options.output)
    plan.name_destinations(rows)
    plan.sort_out(rows, earlier, manifest)
    planned = sum(row.status == plan.PLANNED for row in rows)
    placed = 0 if options.dry_run else plan.place(rows, manifest)
    print_table(rows, options.splits)
    print_others(earlier, roots)
    print_left_alone(options)
    if options.dry_run:
        print(f"dry run: {planned} files to {options.mode}, nothing was written")
    else:
        done = {"copy": "copied", "move": "moved", "link": "linked"}[options.mode]
        is_any = any(row.status != plan.SKIPPED for row in rows)
        idle = "nothing to do: all that can be used is in place" if is_any else "no file can be used"
        print(f"{done} {placed} files to {options.output}" if planned else idle)
    unmatched = name_unmatched(options.table) if options.table else 0
    return exit_code(rows, options.splits) or int(unmatched > 0)


def find(options: argparse.Namespace) -> list[Row]:
    """A row for every file below the source, or for every file that the table leads to."""
    found, how = [], (options.label_of, options.mode)
    if options.listed:
        found = [plan.judge(path, "", options.splits[0], *how) for path in options.table.files()]
    else:
        for split in options.splits:
            found += plan.scan((options.source / split).resolve(), split, *how, options.output)
    if options.table:
        plan.judge_by_table(found, options.table)
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
    usable = {(row.split, row.label) for row in rows if row.status != plan.SKIPPED}
    absent = [(split, label) for split in splits for label in range(len(CLASSES)) if (split, label) not in usable]
    if absent:
        folders = ", ".join(f"{split}/{CLASSES[label]}" for split, label in absent)
        print(f"organize_dataset: no image for {folders}", file=sys.stderr)
    empty_split = set(splits) - {split for split, _ in usable}
    return 2 if not usable else int(bool(empty_split) or any(row.reason for row in rows))


def print_table(rows: list[Row], splits: list[str]) -> None:
    """The classes, and the files with a problem by its kind, in every split; then those files by name."""
    troubled = [row for row in rows if row.reason]
    counts = Counter((CLASSES[row.label], row.split) for row in rows if row.status != plan.SKIPPED)
    counts.update((row.kind_of_problem, row.split) for row in troubled)
    splits = list(dict.fromkeys([*splits, *(row.split for row in rows)]))
    lines = [*CLASSES, *sorted({row.kind_of_problem for row in troubled})]
    width = max(map(len, lines))
    print(" " * width, *(f"{split:>7}" for split in splits))
    for line in lines:
        print(line.ljust(width), *(f"{counts[line, split]:>{max(7, len(split))}}" for split in splits))
    named = first_of([f"{row.source}: {row.reason}" for row in troubled], LISTED, f", all named in {NAME}")
    print(*(f"  {line}\n" for line in named), sep="", end="")


def print_others(earlier: list[Row], roots: set[Path]) -> None:
    """Say which images the output had from elsewhere: those of the demo would go unseen into a training set."""
    others = [row.source.parent for row in earlier if roots.isdisjoint(row.source.parents)]
    if others:
        folders = ", ".join(first_of(sorted({str(folder) for folder in others}), FOLDERS_NAMED))
        print(
            f"{len(others)} of these were here before, from {folders}: if they do not belong to this dataset, "
            "--undo first, or choose another --output"
        )


def print_left_alone(options: argparse.Namespace) -> None:
    """Say which folders and images of the source are in no split: a val/, for example."""
    output = [options.output.name] if options.output.parent == options.source else []
    names = "" if options.listed else beside(options.source, *options.splits, *output)
    if names:
        print(
            f"left alone in {printable(options.source)}, for it is none of --splits {' '.join(options.splits)}: {names}"
        )


def undo(options: argparse.Namespace, manifest: Manifest[Row]) -> int:
    """Take an organized folder apart again; return the exit code. What cannot be undone stays and is named."""
    if not manifest.exists():
        raise UsageError(f"nothing to undo: no {NAME} in {options.output}")
    rows = manifest.going_home(placed_rows(manifest), options.restore_to)
    there, reasons = manifest.in_place(rows), manifest.undo(rows, options.dry_run)
    if not options.dry_run:
        manifest.take_apart(rows, reasons)
    left = [f"  {printable(row.destination)}: {reason}" for row, reason in zip(rows, reasons, strict=True) if reason]
    print(*left, sep="\n", end="\n" * bool(left))
    would = "dry run: would undo" if options.dry_run else "undid"
    mode = options.mode if not rows else rows[0].mode
    print(f"{would} the {mode} of {count_undone(there, reasons)} files")
    return int(bool(left))


@contextmanager
def working_in(output: Path, undo: bool) -> Iterator[Manifest[Row]]:
    """Have the output folder for this process alone, freed of what a killed run left behind.

    At the end it is removed if it is empty, unless the user made it.
    """
    made = not output.exists() or (undo and (output / WORK).exists())
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


if __name__ == "__main__":
    run_script(main)
