"""Known artifacts in clean images: a labelled set, or a contact sheet of every kind.

    python -m artifact_detection.injection --images faces --out injected --prevalence 0.1 --seed 0
    python -m artifact_detection.injection --images test_data/test --sheet sheet.png

Exit codes: 0 done; 1 done, but some files could not be used (listed); 2 wrong usage, or nothing usable.
"""

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from artifact_detection.images.faces import find_face
from artifact_detection.images.transforms import within
from artifact_detection.injection import FAMILIES, KINDS, SEVERITIES, inject
from artifact_detection.injection.dataset import (
    InjectionError,
    Settings,
    name_problems,
    named_kinds,
    pick_images,
    write_set,
)
from artifact_detection.labels import Prevalence
from artifact_detection.system.arguments import module_parser
from artifact_detection.system.locks import FolderBusyError
from artifact_detection.system.ownership import refuse_named, write_named

TILE, COLUMNS = 112, 4  # side of an image in the contact sheet, pixels; strips side by side
CAPTION = 15  # height of the line above each strip, pixels
GAP = 6
INK, PAPER = (40, 40, 40), 250


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    listed = "; ".join(f"{family}: {', '.join(k for k in KINDS if KINDS[k] == family)}" for family in FAMILIES)
    parser = module_parser("injection", __doc__, f"kinds: {listed}")
    add = parser.add_argument
    add("--images", type=Path, required=True, help="folder with clean images, searched through")
    add("--out", type=Path, help="folder for the labelled set")
    add("--sheet", type=Path, metavar="FILE", help="every kind and severity in one picture (PNG)")
    add("--prevalence", type=float, default=Settings.prevalence, help="share of artifacts (default %(default)s)")
    add("--seed", type=int, default=0)
    add("--kinds", nargs="+", default=list(KINDS), metavar="KIND", help="kinds or families (default: all)")
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


def contact_sheet(images: Sequence[np.ndarray], seed: int) -> np.ndarray:
    """A strip a kind with its three severities, COLUMNS strips side by side: (H, W, 3) uint8.

    images: clean ones, (H, W, 3) uint8; each kind takes the next one.
    """
    strips = []
    for number, (kind, family) in enumerate(KINDS.items()):
        image = images[number % len(images)]
        face = find_face(image)
        tiles = [
            _tile(inject(image, kind, severity, np.random.default_rng((seed, number, severity)), face)[0], TILE)
            for severity in SEVERITIES
        ]
        strip, text = np.hstack(tiles), f"{family}: {kind.replace('_', ' ')}"
        caption = np.full((CAPTION, strip.shape[1], 3), PAPER, np.uint8)
        cv2.putText(caption, text, (1, CAPTION - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.38, INK, 1, cv2.LINE_AA)
        strips.append(np.vstack([caption, strip]))
    blank = np.full_like(strips[0], PAPER)
    rows = []
    for family in FAMILIES:
        members = [strip for strip, of in zip(strips, KINDS.values(), strict=True) if of == family]
        members += [blank] * (-len(members) % COLUMNS)
        rows += [_spaced(members[i : i + COLUMNS], axis=1) for i in range(0, len(members), COLUMNS)]
    return _spaced(rows, axis=0)


def _tile(image: np.ndarray, side: int) -> np.ndarray:
    """The image scaled to fit a square, on grey."""
    image, tile = within(image, side), np.full((side, side, 3), 128, np.uint8)
    height, width = image.shape[:2]
    y, x = (side - height) // 2, (side - width) // 2
    tile[y : y + height, x : x + width] = image
    return tile


def _spaced(parts: list[np.ndarray], axis: int) -> np.ndarray:
    shape = list(parts[0].shape)
    shape[axis] = GAP
    gap = np.full(shape, PAPER, np.uint8)
    return np.concatenate([gap, *(piece for part in parts for piece in (part, gap))], axis=axis)


def make_sheet(options: argparse.Namespace) -> int:
    """Write the contact sheet; return the exit code."""
    refuse_named(options.sheet)
    images, problems = pick_images(options.images, len(KINDS), options.seed)
    sheet = Image.fromarray(contact_sheet(images, options.seed))
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
