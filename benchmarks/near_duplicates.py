"""Which copies of an image are found, and what else is taken for one? Beside imagededup.

    python benchmarks/near_duplicates.py --images FACES --peers PEERS/bin/python --name faces
    python benchmarks/near_duplicates.py --images test_data --peers PEERS/bin/python --name test_data
    python benchmarks/near_duplicates.py --scale 100000

All images of the folder are originals; every fourth gets one copy per transformation. Per transformation, the originals
and its copies are searched together. A pair that is called a duplicate is right if both come from one original; for
groups, all pairs in a group count. Recall is the share of the copies that are paired with their original, with its 95 %
interval. `--peers` is a Python with requirements-bench.txt. Results: results/near_duplicates_<name>.csv.
`--scale` times the hash search and its verification on so many thumbnails of unrelated pictures and on a tenth as many
look-alikes (each a blend of two of 200 pictures: the worst case), half a per cent of them copies; a process each.
Results: results/near_duplicates_scale.csv.
"""

import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
from project import write_lines

from artifact_detection.images.candidates import find_candidates
from artifact_detection.images.decoding import read_image
from artifact_detection.images.duplicates import duplicate_links, group_ids, near_duplicate_pairs
from artifact_detection.images.listing import list_image_files
from artifact_detection.images.measure import measure_files
from artifact_detection.images.reencoding import jpeg, rescale
from artifact_detection.injection import KINDS, SEVERITIES, inject
from artifact_detection.intervals import wilson
from artifact_detection.system.arguments import script_parser

EVERY = 4
Picture = np.ndarray  # (H, W, 3) uint8
Pairs = set[tuple[str, str]]  # names, in order


def cropped(image: Picture, rng: np.random.Generator, share: float) -> Picture:
    height, width = (round(side * (1 - share)) for side in image.shape[:2])
    top, left = rng.integers(image.shape[0] - height + 1), rng.integers(image.shape[1] - width + 1)
    return image[top : top + height, left : left + width]


def lettered(image: Picture, _: np.random.Generator) -> Picture:
    image, width = image.copy(), image.shape[1]
    for line, text in enumerate(("SAMPLE TEXT", "preview only")):
        at = (round(0.05 * width), round(image.shape[0] * (0.45 + 0.15 * line)))
        cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, width / 300, (255,) * 3, max(2, width // 100))
    return image


CHANGES: dict[str, Callable[[Picture, np.random.Generator], Picture]] = {
    **{f"JPEG {q}": lambda image, _, q=q: jpeg(image, q) for q in (60, 75, 95)},
    **{f"resized {by}x": lambda image, _, by=by: rescale(image, by) for by in (0.5, 0.75, 2)},
    **{f"cropped {s:.0%}": lambda image, rng, s=s: cropped(image, rng, s) for s in (0.02, 0.05, 0.08)},
    **{
        f"brightness {by:.0%}": lambda image, _, by=by: np.clip(image * by, 0, 255).astype(np.uint8)
        for by in (0.9, 1.1)
    },
    "text overlay": lettered,
    "mirrored": lambda image, _: np.ascontiguousarray(image[:, ::-1]),
    **{
        f"artifact of severity {s}": lambda image, rng, s=s: inject(image, str(rng.choice(list(KINDS))), s, rng)[0]
        for s in SEVERITIES
    },
}


def write_copies(originals: list[Path], folder: Path, change: Callable) -> list[Path]:
    folder.mkdir()
    paths = []
    for number, original in enumerate(originals[::EVERY]):
        copy = change(read_image(original), np.random.default_rng(number))
        paths.append(folder / f"copy of {original.stem}.png")
        cv2.imwrite(str(paths[-1]), cv2.cvtColor(np.ascontiguousarray(copy), cv2.COLOR_RGB2BGR))
    return paths


def our_pairs(originals: list[Path], copies: list[Path], cache: Path) -> Pairs:
    paths, groups = [*originals, *copies], {}
    for path, group in zip(paths, group_ids(len(paths), duplicate_links(measure_files(paths, cache))), strict=True):
        groups.setdefault(group, []).append(path.name)
    return {pair for names in groups.values() for pair in combinations(sorted(names), 2)}


def peer_pairs(python: str, originals: list[Path], folders: dict[str, Path]) -> dict[str, Pairs]:
    job = {
        "originals": [str(path) for path in originals],
        "folders": {name: str(path) for name, path in folders.items()},
    }
    command = [python, str(Path(__file__).with_name("peers.py")), "pairs"]
    done = subprocess.run(command, input=json.dumps(job), stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return {name: {tuple(pair) for pair in pairs} for name, pairs in found.items()}


def score(pairs: Pairs, originals: list[Path], copies: list[Path]) -> tuple[int, float]:
    """How many copies are paired with their original, and the share of the pairs that are right."""
    stem = lambda name: Path(name).stem.removeprefix("copy of ")  # noqa: E731
    by_stem = {path.stem: path.name for path in originals}
    found = sum(tuple(sorted((copy.name, by_stem[stem(copy.name)]))) in pairs for copy in copies)
    right = sum(stem(first) == stem(second) for first, second in pairs)
    return found, right / len(pairs) if pairs else float("nan")


def quality(images: Path, peers: str | None) -> list[str]:
    lines = ["transformation,method,copies,recall,low,high,precision"]
    with tempfile.TemporaryDirectory() as scratch:
        plain = Path(scratch) / "originals"
        plain.mkdir()
        originals = []
        for path in sorted(list_image_files(images).files):  # names of train and test may be the same
            originals.append(plain / "-".join(path.relative_to(images).parts))
            originals[-1].symlink_to(path.resolve())
        folders = {name: Path(scratch) / f"copies{i}" for i, name in enumerate(CHANGES)}
        copies = {name: write_copies(originals, folders[name], change) for name, change in CHANGES.items()}
        theirs = peer_pairs(peers, originals, folders) if peers else {}
        for name in CHANGES:
            methods = {"audit": our_pairs(originals, copies[name], Path(scratch) / "cache.npz")}
            methods |= {"imagededup PHash": theirs[name]} if peers else {}
            for method, pairs in methods.items():
                found, precision = score(pairs, originals, copies[name])
                recall, low, high = found / len(copies[name]), *wilson(found, len(copies[name]))
                lines.append(f"{name},{method},{len(copies[name])},{recall:.3f},{low:.3f},{high:.3f},{precision:.3f}")
    return lines


def thumbnails(count: int, look_alike: bool) -> np.ndarray:
    """(count, 64, 64) uint8: smooth random pictures, or blends of two of 200 of them; the end copies the start."""

    def draw(number: int) -> np.ndarray:
        rng = np.random.default_rng(number)
        noise = sum(
            cv2.resize(rng.normal(size=(n, n)) / n, (72, 72), interpolation=cv2.INTER_CUBIC) for n in (3, 6, 12, 24)
        )
        return np.clip(128 + 160 * noise, 0, 255).astype(np.float32)

    few = [draw(number) for number in range(200)]

    def blend(number: int) -> np.ndarray:
        rng = np.random.default_rng(number)
        first, second, share = *rng.integers(200, size=2), rng.uniform(0.3, 0.7)
        return share * few[first] + (1 - share) * few[second]

    images = np.empty((count, 64, 64), dtype=np.uint8)

    def fill(row: int) -> None:
        images[row] = (blend if look_alike else draw)(1000 + row)[4:68, 4:68]

    with ThreadPoolExecutor() as pool:
        for start in range(0, count, 1000):
            list(pool.map(fill, range(start, min(start + 1000, count))))
    copies = count // 200
    images[-copies:] = (0.93 * images[:copies]).astype(np.uint8)
    return images


def search(count: int, look_alike: bool) -> str:
    """A line of the table, apart from its name; in a process of its own, so that the peak is of this search."""
    images = thumbnails(count, look_alike)
    candidates = len(find_candidates(images))
    cpu, wall = time.process_time(), time.perf_counter()
    links = near_duplicate_pairs(images)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    groups, copies = group_ids(count, links), count // 200
    recall = (groups[:copies] == groups[-copies:]).mean()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return f"{count},{candidates},{len(links)},{wall:.1f},{cpu:.1f},{recall:.3f},{peak:.0f}"


def scale(count: int) -> list[str]:
    lines = ["pictures,hashes,candidates,links,seconds,cpu_seconds,recall_of_copies,peak_rss_mb"]
    for name, hashes in (("unrelated", count), ("look-alikes", count // 10)):
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            lines.append(f"{name},{process.submit(search, hashes, name == 'look-alikes').result()}")
        print(lines[-1], file=sys.stderr)
    return lines


def main() -> None:
    parser = script_parser(__doc__)
    add = parser.add_argument
    add("--images", type=Path, help="a folder of different pictures")
    add("--peers", help="a Python in which imagededup is installed")
    add("--name", default="images", help="goes into the name of the table")
    add("--scale", type=int, help="time the search of so many hashes instead")
    options = parser.parse_args()
    lines = scale(options.scale) if options.scale else quality(options.images, options.peers)
    write_lines(f"near_duplicates_{'scale' if options.scale else options.name}", lines)


if __name__ == "__main__":
    main()
