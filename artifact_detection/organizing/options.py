"""The command line of organize_dataset.py."""

import argparse
from functools import partial
from pathlib import Path

from artifact_detection.labels import DEFAULT_PATTERN, compile_pattern, parse_label
from artifact_detection.labels_table import read_labels
from artifact_detection.system.arguments import script_parser
from artifact_detection.system.paths import ROOT
from artifact_detection.system.transfers import MODES

TEST_DATA = ROOT / "test_data"


def parse_arguments(arguments: list[str] | None, description: str) -> argparse.Namespace:
    parser = script_parser(description)
    add = parser.add_argument
    add("--source", type=Path, help="holds a folder per split (default: test_data/ beside the script)")
    add("--output", type=Path, default=ROOT / "dataset", help="default: dataset/ beside the script")
    add("--splits", nargs="+", default=["train", "test"], metavar="NAME", help="its subfolders")
    add("--pattern", default=DEFAULT_PATTERN, help="regex with a group `label`, searched in a file's name")
    add("--labels", type=Path, metavar="CSV", help="labels from a table, not from names")
    add("--artifact-label", metavar="LABEL", help="the label that means artifact (default: 1, and what is obvious)")
    add("--mode", choices=MODES, default="copy", help="link: hard links, which need no space")
    add("--dry-run", action="store_true", help="say what would happen; write nothing")
    add("--undo", action="store_true", help="put moved files back, remove copies and links")
    add(
        "--restore-to", type=Path, metavar="DIR",
        help="with --undo: for files of a dataset that was not organized on this machine, which go nowhere else",
    )  # fmt: skip
    add("--yes", action="store_true", help="more artifacts than clean images is what I mean")
    options = parser.parse_args(arguments)
    try:
        _complete(options)
    except OSError as error:
        parser.error(f"{error.strerror or error}: {error.filename}")
    except ValueError as error:
        parser.error(str(error))
    return options


def _complete(options: argparse.Namespace) -> None:
    """What follows from the options: absolute paths, the table of labels, how a file gets its label.

    Raises ValueError or OSError for a pattern or a table that cannot be used.
    """
    options.pattern, options.name_label = compile_pattern(options.pattern), options.artifact_label or "1"
    options.label_of = partial(parse_label, pattern=options.pattern, artifact_label=options.name_label)
    options.listed = bool(options.labels and not options.source)
    options.source, options.output = (options.source or TEST_DATA).resolve(), options.output.resolve()
    options.splits = options.splits[:1] if options.listed else options.splits
    options.table = None
    if options.labels and not options.undo:
        roots = [(options.source / split).resolve() for split in options.splits]
        options.table = read_labels(options.labels, options.artifact_label, [*roots, options.source])
        options.label_of = options.table.label_of
