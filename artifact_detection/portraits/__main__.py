"""Draw a labelled dataset of portraits, some of them with an artifact.

    python -m artifact_detection.portraits --out test_data --seed 0

writes OUT/train and OUT/test with files `image_<index>_<label>.png`: 0 clean, 1 artifact. The same flags write the
same bytes again. A folder that holds other numbered images is refused; nothing is ever deleted.
"""

import argparse
import sys
from fractions import Fraction
from pathlib import Path

from tqdm import tqdm

from artifact_detection.labels import Prevalence
from artifact_detection.portraits import dataset
from artifact_detection.system.arguments import module_parser
from artifact_detection.system.files import write_atomic


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = module_parser("portraits", __doc__)
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder that gets train/ and test/")
    add("--seed", type=_whole(0), default=0, help="everything is drawn from it (default 0)")
    add("--train", type=_whole(0), default=480, help="images in train/ (default 480)")
    add("--test", type=_whole(0), default=200, help="images in test/ (default 200)")
    add("--prevalence", type=_share, default=Fraction(1, 5), help="share with an artifact (default 0.2)")
    add("--size", type=_whole(32), default=192, help="width and height in pixels (default 192)")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments)
    plan = [
        (split, index, dataset.label_of(index, split, options.seed, options.prevalence))
        for split in dataset.SPLITS
        for index in range(getattr(options, split))
    ]
    try:
        _check_folders(options.out, plan)
        for split, index, label in tqdm(plan, unit=" images", disable=None):
            image = dataset.labelled_portrait(index, label, split, options.seed, options.size)
            _write(options.out / split / dataset.file_name(index, label), dataset.png_bytes(image))
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for split in dataset.SPLITS:
        share = Prevalence.of(label for name, _, label in plan if name == split)
        print(f"{options.out / split}: {share.total} images, {share.artifacts} with an artifact")
    return 0


def _whole(smallest: int):
    def whole_number(text: str) -> int:
        value = int(text)
        if value < smallest:
            raise argparse.ArgumentTypeError(f"at least {smallest} is needed, not {value}")
        return value

    return whole_number


def _share(text: str) -> Fraction:
    value = Fraction(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"a share from 0 to 1 is needed, not {text}")
    return value


def _write(path: Path, data: bytes) -> None:
    """Raises FileExistsError if another file has the name."""
    if not path.exists():
        write_atomic(path, data)
    elif path.read_bytes() != data:
        raise FileExistsError(f"{path} is not what these flags draw: choose an empty folder")


def _check_folders(out: Path, plan: list[tuple[str, int, int]]) -> None:
    """Make the folders. Raises OSError if one holds numbered images that this run would not write."""
    for split in dataset.SPLITS:
        folder = out / split
        folder.mkdir(parents=True, exist_ok=True)
        planned = {dataset.file_name(index, label) for name, index, label in plan if name == split}
        others = sorted(path.name for path in folder.glob("image_*.png") if path.name not in planned)
        if others:
            some = f"{len(others)}, e.g. {others[0]}"
            raise FileExistsError(f"{folder} holds other images ({some}): choose an empty folder")


if __name__ == "__main__":
    sys.exit(main())
