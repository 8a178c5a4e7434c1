"""Known artifacts in clean images: a labelled set, a recall matrix or a contact sheet.

    python -m artifact_detection.injection --images faces --out injected --prevalence 0.1 --seed 0
    python -m artifact_detection.injection --matrix runs/demo/best.pt --images faces
    python -m artifact_detection.injection --sheet sheet.png

Exit codes: 0 done; 1 done, but some files could not be used (listed); 2 wrong usage, or nothing usable.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from artifact_detection.images.decoding import ImageError, read_image
from artifact_detection.images.faces import Face
from artifact_detection.injection import FAMILIES, KINDS, SEVERITIES
from artifact_detection.injection.dataset import InjectionError, Settings, find_images, write_set
from artifact_detection.injection.sheet import contact_sheet
from artifact_detection.labels import Prevalence
from artifact_detection.portraits import draw_portrait
from artifact_detection.system.files import FolderBusyError, write_atomic

LISTED = 50  # unusable files named on the terminal


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m artifact_detection.injection",
        description=__doc__,
        epilog="kinds: "
        + "; ".join(f"{family}: {', '.join(k for k in KINDS if KINDS[k] == family)}" for family in FAMILIES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--images", type=Path, help="folder with clean images, searched through")
    parser.add_argument("--out", type=Path, help="folder for the labelled set, or for the matrix (default: beside it)")
    parser.add_argument("--matrix", type=Path, metavar="CHECKPOINT", help="measure a checkpoint's recall, kind by kind")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="draw every kind and severity into one picture")
    parser.add_argument(
        "--prevalence", type=float, default=Settings.prevalence, help="share of artifacts (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--kinds", nargs="+", default=list(KINDS), metavar="KIND", help="kinds or families (default: all)"
    )
    parser.add_argument("--severity", nargs="+", type=int, choices=SEVERITIES, default=list(SEVERITIES))
    parser.add_argument("--test-share", type=float, default=Settings.test_share, help="(default %(default)s)")
    parser.add_argument("--size", type=int, default=0, help="longer side of the written images (default: unchanged)")
    parser.add_argument("--masks", action="store_true", help="also write masks of the changed pixels")
    parser.add_argument("--count", type=int, default=50, help="images in each cell of the matrix (default %(default)s)")
    options = parser.parse_args(arguments)
    options.kinds = _named_kinds(parser, options.kinds)
    if not (options.matrix or options.sheet or options.out):
        parser.error("say what to make: --out DIR, --matrix CHECKPOINT or --sheet FILE")
    if not options.images and not options.sheet:
        parser.error("--images DIR is needed")
    return options


def _named_kinds(parser: argparse.ArgumentParser, names: list[str]) -> tuple[str, ...]:
    """The kinds that a list of kinds and families means, each once, in KINDS' order."""
    for name in names:
        if name not in KINDS and name not in FAMILIES:
            parser.error(f"--kinds {name}: not a kind and not a family; --help lists them")
    return tuple(kind for kind, family in KINDS.items() if kind in names or family in names)


def make_set(options: argparse.Namespace) -> int:
    """Write the labelled set; return the exit code."""
    settings = Settings(
        options.prevalence,
        options.seed,
        options.kinds,
        tuple(options.severity),
        options.test_share,
        options.size,
        options.masks,
    )
    table, problems = write_set(options.images, options.out, settings)
    for split, rows in table.groupby(table["file"].str.split("/").str[0], sort=False):
        share = Prevalence(int((rows["kind"] != "").sum()), len(rows))
        print(f"{split:6} {share.total:6} images, {share.artifacts} with an artifact ({share.share:.1%})")
    print(f"written to {options.out}; next: python organize_dataset.py --source {options.out}")
    return name_problems(problems)


def name_problems(problems: dict[str, str]) -> int:
    """Say on stderr what could not be used; the exit code."""
    for path, reason in list(problems.items())[:LISTED]:
        print(f"  {path}: {reason}", file=sys.stderr)
    if problems:
        print(f"{len(problems)} files could not be used", file=sys.stderr)
    return int(bool(problems))


def make_matrix(options: argparse.Namespace) -> int:
    """Measure a checkpoint; write recall_matrix.csv and .png; return the exit code."""
    from artifact_detection import plots  # here, not above: torch takes seconds to load
    from artifact_detection.injection.matrix import plot_recall_matrix, recall_matrix
    from artifact_detection.models import CheckpointError
    from artifact_detection.scoring import load_predictor

    try:
        scorer = load_predictor(options.matrix)
    except CheckpointError as error:
        raise InjectionError(error) from error
    images, problems = pick_images(options.images, options.count, options.seed)
    rng = np.random.default_rng(options.seed)
    threshold = scorer.checkpoint["threshold"]
    table = recall_matrix(scorer.probabilities, images, options.kinds, options.severity, rng, threshold)
    out = options.out or options.matrix.parent
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / "recall_matrix.csv", table.to_csv(index=False))
    plots.save(plot_recall_matrix(table), out / "recall_matrix.png")
    print(table.round(3).to_string(index=False))
    print(f"written to {out / 'recall_matrix.csv'} and .png; threshold {threshold:.3f}")
    return name_problems(problems)


def pick_images(folder: Path, count: int, seed: int) -> tuple[list[np.ndarray], dict[str, str]]:
    """Up to `count` random readable images below a folder, and the problems met, path -> reason."""
    paths, problems = find_images(folder)
    images = []
    for row in np.random.default_rng(seed).permutation(len(paths)):
        if len(images) == count:
            break
        try:
            images.append(read_image(paths[row]))
        except ImageError as error:
            problems[error.path] = error.reason
    if not images:
        raise InjectionError(f"no usable image in {folder}")
    return images, problems


def make_sheet(options: argparse.Namespace) -> int:
    """Write the contact sheet, from the user's images or from drawn portraits; return the exit code."""
    portraits: list[tuple[np.ndarray, Face | None]]
    problems: dict[str, str] = {}
    if options.images:
        images, problems = pick_images(options.images, len(KINDS), options.seed)
        portraits = [(image, None) for image in images]
    else:
        portraits = [draw_portrait(np.random.default_rng((options.seed, i)), 384) for i in range(len(KINDS))]
    sheet = Image.fromarray(contact_sheet(portraits, tile=112, columns=4, seed=options.seed))
    sheet.quantize(256, kmeans=1, dither=Image.Dither.NONE).save(options.sheet, optimize=True)
    print(f"written to {options.sheet}")
    return name_problems(problems)


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments)
    act = make_matrix if options.matrix else make_sheet if options.sheet else make_set
    try:
        return act(options)
    except (InjectionError, FolderBusyError, OSError) as error:
        print(f"injection: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
