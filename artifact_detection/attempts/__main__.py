"""Run the attempts of model-training-attempts/ and compare them.

    python -m artifact_detection.attempts --protocol full                 # all of them: a GPU, dataset/, ImageNet
    python -m artifact_detection.attempts --protocol small --list         # what is done, what is left, how long
    python -m artifact_detection.attempts --protocol small --only 27-bce --weights FILE --dataset DIR
    python -m artifact_detection.attempts --report                        # the tables in its README

Killed at any point and started again it goes on; finished jobs are skipped, failed ones are named and tried again.

Exit codes: 0 done; 1 done, but some attempts failed (listed); 2 wrong usage, or every attempt failed.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

from artifact_detection.attempts.catalogue import FOLDER, read_attempts
from artifact_detection.attempts.protocols import PROTOCOLS, Job, Protocol, plan
from artifact_detection.attempts.report import ReportError, write_report
from artifact_detection.attempts.results import Results
from artifact_detection.attempts.runner import Place, run_all
from artifact_detection.system.arguments import module_parser
from artifact_detection.system.locks import FolderBusyError, exclusive_lock
from artifact_detection.system.paths import ROOT
from artifact_detection.training.config import ConfigError


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = module_parser("attempts", __doc__)
    texts = "; ".join(f"{name}: {protocol.text}" for name, protocol in PROTOCOLS.items())
    add = parser.add_argument
    add("--protocol", choices=PROTOCOLS, default="full", help=f"{texts} (default: %(default)s)")
    add("--only", default="*", metavar="GLOB", help="attempts by name, such as '2*' (default: all)")
    add("--seeds", type=int, metavar="N", help="seeds of every attempt (default: the protocol's)")
    add("--folds", type=int, metavar="K", help="grouped folds (default: the protocol's)")
    add("--minutes", type=float, default=float("inf"), metavar="N", help="begin no attempt after so many minutes")
    add("--list", action="store_true", help="what is done, what is left and how long it will take; train nothing")
    add("--report", action="store_true", help="write the tables of the folder's README from results.csv")
    add("--dataset", default=ROOT / "dataset", help="folder with train/ and test/ (default: %(default)s)")
    add("--weights", default="imagenet", help="imagenet, none, or a state dict file (default: %(default)s)")
    add("--runs", type=Path, default=ROOT / "runs" / "attempts", help="for run folders (default: runs/attempts)")
    add("--folder", type=Path, default=FOLDER, help="of the TOML files and results (default: %(default)s)")
    options = parser.parse_args(arguments)
    for name in ("dataset", "weights"):  # given relative to where the user is
        if Path(getattr(options, name)).exists():
            setattr(options, name, str(Path(getattr(options, name)).resolve()))
    return options


def print_list(protocol: Protocol, jobs: list[Job], results: Results, left_out: dict[str, str]) -> None:
    """Every job with its state; the time of what is left, from the time of what is done."""
    rows = results.read(protocol.name)
    done = {job.name for job in jobs if results.has(job)}
    for job in jobs:
        print(f"{'done' if job.name in done else 'left'}  {job.name:<32} {job.attempt.changes}")
    for name, reason in left_out.items():
        print(f"not here  {name:<28} {reason}")
    left = len(jobs) - len(done)
    per_job = rows.groupby(["attempt", "seed"])["seconds"].sum().mean() if len(rows) else float("nan")
    time = "nothing is known of the time" if pd.isna(per_job) else f"about {left * per_job / 60:.0f} min"
    print(f"{protocol.name}: {len(done)} of {len(jobs)} jobs done, {left} left: {time if left else 'nothing to do'}")


def run(options: argparse.Namespace) -> int:
    attempts, protocol = read_attempts(options.folder), PROTOCOLS[options.protocol]
    results = Results(options.folder)
    if options.report:
        write_report(options.folder)
        return 0
    jobs = plan(protocol, attempts, options.only, options.seeds, options.folds)
    if not jobs:
        raise ConfigError(f"no attempt of protocol {protocol.name} is called {options.only}")
    if options.list:
        print_list(protocol, jobs, results, {a.name: protocol.left_out(a) for a in attempts if protocol.left_out(a)})
        return 0
    place = Place(options.runs.resolve(), options.dataset, options.weights)
    place.runs.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(place.runs):
        failures = run_all(jobs, place, results, options.minutes)
    for name, reason in failures.items():
        print(f"failed: {name}: {reason}", file=sys.stderr)
    if failures and not any(results.has(job) for job in jobs):
        return 2
    return int(bool(failures))


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments)
    try:
        return run(options)
    except (ConfigError, ReportError, FolderBusyError) as error:
        print(f"attempts: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
