"""The command line of filter_images.py: what a user can say, and what makes no sense."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from artifact_detection.detector.scoring import BATCH, GPU_BATCH
from artifact_detection.filtering.actions import ACTIONS
from artifact_detection.filtering.engine import ENGINES, WORTH_INT8
from artifact_detection.filtering.export import WRITERS
from artifact_detection.system.arguments import script_parser
from artifact_detection.system.paths import ROOT, lies_in


def parse_arguments(arguments: list[str] | None, description: str) -> argparse.Namespace:
    """The options, with --out as an absolute path; ends the program for wrong usage, as argparse does."""
    parser = script_parser(description, takes="INPUT [INPUT ...] [options]")
    _add_main(parser)
    _add_bands(parser.add_argument_group("bands"))
    _add_people(parser.add_argument_group("people"))
    _add_machine(parser.add_argument_group("machine"))
    options = parser.parse_args(arguments)
    if problem := next(_problems(options), ""):
        parser.error(problem)
    options.out = options.out.resolve()
    own = next((path for path in options.inputs if Path(path).is_dir() and lies_in(path, options.out)), None)
    if own:
        parser.error(f"{own} lies in --out, where nothing is read: choose another folder for --out, {options.out}")
    return options


# fmt: off
def _add_main(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("inputs", nargs="*", metavar="INPUT")
    add("--model", type=Path, help="best.pt of a run (default: the detector in pretrained/)")
    add("--out", type=Path, default=ROOT / "filtered", help="(default: %(default)s)")
    add("--action", choices=ACTIONS, default="report", help="(default: %(default)s)")
    add("--export", action="append", choices=tuple(WRITERS), default=[],
        help="write the regions for other tools too: coco.json, labelstudio.json or masks/; may be repeated")
    add("--undo", action="store_true", help="put moved images back, remove copies and links")
    add("--restore-to", type=Path, metavar="DIR",
        help="with --undo: for images of a folder that was not filtered on this machine, which go nowhere else")
    add("--null", action="store_true", help="--action list: end each path with NUL, for xargs -0")


def _add_bands(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--max-clean-loss", type=float, default=0.1, metavar="SHARE",
        help="largest certified share of clean images among the rejected (default: %(default)s)")
    add("--max-artifacts-left", type=float, default=0.02, metavar="SHARE",
        help="largest certified share of artifacts among the kept (default: %(default)s)")
    add("--threshold", type=float, nargs="+", metavar="P",
        help="reject from P on; or two: keep below the first, reject from the second on; without a promise")
    add("--stability", type=float, nargs="?", const=0.15, metavar="MARGIN",
        help="re-encode images within MARGIN of a threshold; those whose band changes go to review (default: 0.15)")
    add("--prevalence", type=float, nargs=2, metavar=("LOW", "HIGH"),
        help="share of artifacts in your images, at least and at most, as far as you know it (default: estimated)")
    add("--without-promise", action="store_true",
        help="apply the bands even where validation's promise does not hold for these images")
    add("--calibrate", type=Path, metavar="CSV",
        help="fit the probabilities on these decisions, and certify the bands on those of the sample that --audit drew")


def _add_people(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--decisions", type=Path, metavar="CSV", help="what people decided on the review page")
    add("--audit", type=int, metavar="N",
        help="draw N images of each band at random, to be looked at first; what is decided of them bounds the rest")
    add("--gallery", type=int, default=10_000, metavar="N",
        help="images shown on the review page, 0: no page (default: %(default)s)")
    add("--heatmaps", type=int, default=200, metavar="N",
        help="heat maps drawn where the detector draws none itself (default: %(default)s)")


def _add_machine(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    add("--precision", choices=("auto", "fp32", "bf16", "fp16"), default="auto")
    add("--batch", type=int, metavar="N", help=f"images at a time (default: {BATCH}; {GPU_BATCH} on a GPU)")
    add("--engine", choices=ENGINES, default="auto",
        help=f"int8: OpenVINO on the CPU; auto takes it if it is installed, from {WORTH_INT8} images on")
# fmt: on


def _problems(options: argparse.Namespace) -> Iterator[str]:
    """What is wrong with the values; then flags that make no sense together, each with what to do instead."""
    low, high = options.prevalence or (0, 1)
    if not (options.undo or options.inputs):
        yield "INPUT is needed (or --undo)"
    if not all(0 < share < 1 for share in (options.max_clean_loss, options.max_artifacts_left)):
        yield "--max-clean-loss and --max-artifacts-left are shares between 0 and 1"
    if not 0 <= low <= high <= 1:
        yield "--prevalence takes two shares between 0 and 1, the lower first"
    for name in ("batch", "audit"):
        if (count := getattr(options, name)) is not None and count < 1:
            yield f"--{name} is at least 1"
    if not 0 <= (options.stability or 0) <= 1:
        yield "--stability is a distance between 0 and 1"
    acts = options.inputs or options.action != "report" or options.export
    if options.undo and (acts or options.audit or options.calibrate or options.decisions or options.threshold):
        yield "--undo takes the whole run back, and nothing beside --out and --restore-to: undo first, then filter"
    if options.restore_to and not options.undo:
        yield "--restore-to says where --undo puts images: pass it with --undo"
    if options.null and options.action != "list":
        yield "--null is about lists of paths: pass it with --action list"
    if options.calibrate and options.threshold:
        yield "--calibrate chooses the thresholds: leave out --threshold, or --calibrate"
    if options.audit and options.calibrate:
        yield (
            "--audit draws the sample that --calibrate certifies the bands on: first --audit alone, look at the sample "
            "on the review page and export decisions.csv, then --calibrate decisions.csv without --audit"
        )
    if other := "--calibrate" if options.calibrate else "--threshold" if options.threshold else "":
        if options.prevalence:
            yield f"--prevalence is for validation's promise, which {other} replaces: leave out one of them"
        if options.without_promise:
            yield f"--without-promise is for validation's bands, which {other} replaces: leave out one of them"
