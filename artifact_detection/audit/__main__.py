"""Audit a dataset: integrity, duplicates, leakage, balance, shortcuts; one verdict per question.

    python -m artifact_detection.audit test_data --html report.html --csv measures.csv

Exit code: 0 nothing speaks against training; 1 a verdict says stop, or files cannot be used; 2 wrong usage or no image.
"""

import argparse
import sys
from pathlib import Path

from artifact_detection.audit.checks import STOP, Check, run_checks, worst
from artifact_detection.audit.dataset import Audit, audit_dataset
from artifact_detection.audit.report import render
from artifact_detection.labels import DEFAULT_PATTERN
from artifact_detection.system.arguments import module_parser
from artifact_detection.system.memory import keep_freed_memory
from artifact_detection.system.ownership import refuse_named, write_named


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = module_parser("audit", __doc__)
    add = parser.add_argument
    add("folder", type=Path, help="flat, train/ and test/, or {train,test}/{no_artifacts,artifacts}/")
    add("--html", type=Path, help="write a report with pictures")
    add("--csv", type=Path, help="write the measures of every file")
    add("--pattern", default=DEFAULT_PATTERN, help="finds the label in a file name (default: %(default)s)")
    add("--artifact-label", default="1", help="the label that means artifact (default: %(default)s)")
    add("--no-cache", action="store_true", help="keep no measurements beside the dataset")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments)
    sys.stdout.reconfigure(errors="backslashreplace")  # a name must not stop it on a terminal without UTF-8
    keep_freed_memory(large=False)
    try:
        refuse_named(options.csv, options.html)
        audit = audit_dataset(options.folder, options.pattern, options.artifact_label, cache=not options.no_cache)
        if audit.table.empty:
            return _fail(f"{options.folder}: no image file")
        checks = run_checks(audit)
        _print(audit, checks)
        if options.csv:
            write_named(options.csv, audit.table.drop(columns="path").to_csv(index=False))
        if options.html:
            write_named(options.html, render(audit, checks))
    except (OSError, ValueError) as error:
        return _fail(str(error))
    return int(worst(checks) == STOP or len(audit.usable) < len(audit.table) or bool(audit.listing.missed))


def _print(audit: Audit, checks: list[Check]) -> None:
    for row in audit.table[audit.table["error"] != ""].to_dict("records"):
        print(f"{row['name']}: {row['error']}", file=sys.stderr)
    for name, why in audit.listing.missed.items():
        print(f"{name}: {why}", file=sys.stderr)
    width = max(len(check.name) for check in checks)
    for check in checks:
        print(f"{check.verdict:5}{check.name:{width + 2}}{check.finding}")


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
