"""Known artifacts in clean images: a labelled set, or a contact sheet of every kind.

    python -m artifact_detection.injection --images faces --out injected --prevalence 0.1 --seed 0
    python -m artifact_detection.injection --images test_data/test --sheet sheet.png

Exit codes: 0 done; 1 done, but some files could not be used (listed); 2 wrong usage, or nothing usable.
"""

import argparse
import io
import sys
from pathlib import Path

from PIL import Image

from artifact_detection.injection import FAMILIES, KINDS, SEVERITIES
from artifact_detection.injection.dataset import (
    InjectionError,
    Settings,
    name_problems,
    named_kinds,
    pick_images,
    write_set,
)
from artifact_detection.injection.sheet import contact_sheet
from artifact_detection.labels import Prevalence
from artifact_detection.system.locks import FolderBusyError
from artifact_detection.system.ownership import refuse_named, write_named


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m artifact_detection.injection",
        description=__doc__,
        epilog="kinds: "
        + "; ".join(f"{family}: {', '.join(k for k in KINDS if KINDS[k] == family)}" for family in FAMILIES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--images", type=Path, required=True, help="folder with clean images, searched through")
    add("--out", type=Path, help="folder for the labelled set")
    add("--sheet", type=Path, metavar="FILE", help="every kind and severity in one picture (PNG)")
    add("--prevalence", type=float, default=Settings.prevalence, help="share of artifacts (default %(default)s)")
    add("--seed", type=int, default=0)
    kinds = {"nargs": "+", "default": list(KINDS), "metavar": "KIND"}
    add("--kinds", **kinds, help="kinds or families (default: all)")
    add("--severity", nargs="+", type=int, choices=SEVERITIES, default=list(SEVERITIES))
    add("--test-share", type=float, default=Settings.test_share, help="(default %(default)s)")
    add("--size", type=int, default=0, help="longer side of the written images (default: unchanged)")
    add("--masks", action="store_true", help="also write masks of the changed pixels")
    options = parser.parse_args(arguments)
    if not (options.sheet or options.out):
        parser.error("say what to make: --out DIR or --sheet FILE")
    return options


def make_set(options: argparse.Namespace) -> int:
    """Write the labelled set; return the exit code."""
    settings = Settings(
        options.prevalence, options.seed, named_kinds(options.kinds), tuple(options.severity), options.test_share,
        options.size, options.masks,
    )  # fmt: skip
    table, problems = write_set(options.images, options.out, settings)
    for split, rows in table.groupby(table["file"].str.split("/").str[0], sort=False):
        share = Prevalence(int((rows["kind"] != "").sum()), len(rows))
        print(f"{split:6} {share.total:6} images, {share.artifacts} with an artifact ({share.share:.1%})")
    print(f"written to {options.out}; next: python organize_dataset.py --source {options.out}")
    return name_problems(problems)


def make_sheet(options: argparse.Namespace) -> int:
    """Write the contact sheet; return the exit code."""
    refuse_named(options.sheet)
    images, problems = pick_images(options.images, len(KINDS), options.seed)
    sheet = Image.fromarray(contact_sheet(images, tile=112, columns=4, seed=options.seed))
    picture = io.BytesIO()
    sheet.quantize(256, kmeans=1, dither=Image.Dither.NONE).save(picture, "PNG", optimize=True)
    write_named(options.sheet, picture.getvalue())
    print(f"written to {options.sheet}")
    return name_problems(problems)


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments)
    act = make_sheet if options.sheet else make_set
    try:
        return act(options)
    except (InjectionError, FolderBusyError, OSError) as error:
        print(f"injection: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
