"""Which copies of an image are found, and what else is taken for one? Beside imagededup.

    python benchmarks/near_duplicates.py --images FACES --peers PEERS/bin/python --name faces
    python benchmarks/near_duplicates.py --images test_data --peers PEERS/bin/python --name test_data
    python benchmarks/near_duplicates.py --scale 100000

All images of the folder are originals; every n-th gets one copy per transformation. Per transformation, the originals
and its copies are searched together. A pair that is called a duplicate is right if both come from one original; for
groups, all pairs in a group count. Recall is the share of the copies that are paired with their original, with its 95 %
interval. `--peers` is a Python with requirements-bench.txt. imagededup's CNN needs weights from the internet and is
left out where it cannot get them. Results: results/near_duplicates_<name>.csv.
`--scale` times the hash search and its verification on so many thumbnails of unrelated pictures and on a tenth as many
look-alikes (each a blend of two of 200 pictures: the worst case), half a per cent of them copies; a process each.
Results: results/near_duplicates_scale.csv.
"""

import argparse
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

import numpy as np

PROJECT = Path(__file__).resolve().parent.parent
RESULTS = PROJECT / "benchmarks" / "results"
sys.path.insert(0, str(PROJECT))

Picture = np.ndarray  # (H, W, 3) uint8
Pairs = set[tuple[str, str]]  # names, in order


def _transformations() -> dict[str, Callable[[Picture, np.random.Generator], Picture]]:
    import cv2

    from artifact_detection.injection import KINDS, inject

    def jpeg(quality: int):
        def recompress(image, _):
            data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
            return cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)

        return recompress

    def resized(factor: float):
        method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        return lambda image, _: cv2.resize(image, None, fx=factor, fy=factor, interpolation=method)

    def cropped(share: float):
        def crop(image, rng):
            height, width = (round(side * (1 - share)) for side in image.shape[:2])
            top, left = rng.integers(image.shape[0] - height + 1), rng.integers(image.shape[1] - width + 1)
            return image[top : top + height, left : left + width]

        return crop

    def lettered(image, _):
        image, width = image.copy(), image.shape[1]
        for line, text in enumerate(("SAMPLE TEXT", "preview only")):
            at = (round(0.05 * width), round(image.shape[0] * (0.45 + 0.15 * line)))
            cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, width / 300, (255,) * 3, max(2, width // 100))
        return image

    def injected(severity: int):
        return lambda image, rng: inject(image, str(rng.choice(list(KINDS))), severity, rng)[0]

    return {
        **{f"JPEG {quality}": jpeg(quality) for quality in (60, 75, 95)},
        **{f"resized {factor}x": resized(factor) for factor in (0.5, 0.75, 2)},
        **{f"cropped {share:.0%}": cropped(share) for share in (0.02, 0.05, 0.08)},
        **{f"brightness {factor:.0%}": _scaled(factor) for factor in (0.9, 1.1)},
        "text overlay": lettered,
        "mirrored": lambda image, _: np.ascontiguousarray(image[:, ::-1]),
        **{f"artifact of severity {severity}": injected(severity) for severity in (1, 2, 3)},
    }


def _scaled(factor: float):
    return lambda image, _: np.clip(image * factor, 0, 255).astype(np.uint8)


def write_copies(originals: list[Path], folder: Path, change: Callable, every: int) -> list[Path]:
    """Copies as PNG files named after their originals."""
    import cv2

    from artifact_detection.images.decoding import read_image

    folder.mkdir()
    paths = []
    for number, original in enumerate(originals[::every]):
        copy = change(read_image(original), np.random.default_rng(number))
        paths.append(folder / f"copy of {original.stem}.png")
        cv2.imwrite(str(paths[-1]), cv2.cvtColor(np.ascontiguousarray(copy), cv2.COLOR_RGB2BGR))
    return paths


def our_pairs(originals: list[Path], copies: list[Path], cache: Path) -> tuple[Pairs, dict[str, int]]:
    from artifact_detection.images.duplicates import duplicate_links, group_ids
    from artifact_detection.images.measure import measure_files

    paths = [*originals, *copies]
    links = duplicate_links(measure_files(paths, cache))
    groups = {}
    for path, group in zip(paths, group_ids(len(paths), links), strict=True):
        groups.setdefault(group, []).append(path.name)
    pairs = {pair for names in groups.values() for pair in combinations(sorted(names), 2)}
    return pairs, links["kind"].value_counts().to_dict()


def peer_pairs(python: str, method: str, originals: list[Path], folders: dict[str, Path]) -> dict[str, Pairs] | None:
    """imagededup's pairs per transformation; None if the method does not run here."""
    job = {
        "originals": [str(path) for path in originals],
        "folders": {name: str(path) for name, path in folders.items()},
    }
    command = [python, __file__, "--peer-work", method]
    done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True)
    if done.returncode:
        print(f"imagededup {method} does not run here: {done.stderr.strip().splitlines()[-1][:200]}", file=sys.stderr)
        return None
    found = json.loads(done.stdout.splitlines()[-1])
    return {name: {tuple(pair) for pair in pairs} for name, pairs in found.items()}


def peer_work(method: str) -> None:
    """In the peers' Python: encode everything once, then search originals and copies of each transformation."""
    from imagededup.methods import CNN, PHash

    job = json.load(sys.stdin)
    encoder = PHash(verbose=False) if method == "PHash" else CNN(verbose=False)
    encode = lambda paths: {Path(path).name: encoder.encode_image(image_file=path) for path in paths}  # noqa: E731
    originals, found = encode(job["originals"]), {}
    for name, folder in job["folders"].items():
        everything = originals | encode(map(str, sorted(Path(folder).iterdir())))
        if method == "CNN":
            everything = {key: value[0] for key, value in everything.items()}
        duplicates = encoder.find_duplicates(encoding_map=everything)
        found[name] = sorted({tuple(sorted((key, other))) for key, others in duplicates.items() for other in others})
    print(json.dumps(found))


def score(pairs: Pairs, originals: list[Path], copies: list[Path]) -> tuple[int, float]:
    """How many copies are paired with their original, and the share of the pairs that are right."""
    stem = lambda name: Path(name).stem.removeprefix("copy of ")  # noqa: E731
    by_stem = {path.stem: path.name for path in originals}
    found = sum(tuple(sorted((copy.name, by_stem[stem(copy.name)]))) in pairs for copy in copies)
    right = sum(stem(first) == stem(second) for first, second in pairs)
    return found, right / len(pairs) if pairs else float("nan")


def quality(options: argparse.Namespace) -> list[str]:
    from artifact_detection.intervals import wilson
    from artifact_detection.labels import IMAGE_SUFFIXES

    originals = sorted(path for path in options.images.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    lines = ["transformation,method,copies,recall,low,high,precision"]
    with tempfile.TemporaryDirectory() as scratch:
        plain = Path(scratch) / "originals"
        plain.mkdir()
        unique = []
        for path in originals:  # names of train and test may be the same
            unique.append(plain / "-".join(path.relative_to(options.images).parts))
            unique[-1].symlink_to(path.resolve())
        changes = _transformations()
        folders = {name: Path(scratch) / f"copies{i}" for i, name in enumerate(changes)}
        copies = {name: write_copies(unique, folders[name], change, options.every) for name, change in changes.items()}
        peers = {}
        for method in ("PHash", "CNN") if options.peers else ():
            peers[f"imagededup {method}"] = peer_pairs(options.peers, method, unique, folders)
        for name in changes:
            ours, kinds = our_pairs(unique, copies[name], Path(scratch) / "cache.npz")
            print(f"{name}: links of the audit: {kinds}", file=sys.stderr)
            methods = {"audit": ours, **{peer: found[name] for peer, found in peers.items() if found}}
            for method, pairs in methods.items():
                found, precision = score(pairs, unique, copies[name])
                low, high = wilson(found, len(copies[name]))
                recall = found / len(copies[name])
                lines.append(f"{name},{method},{len(copies[name])},{recall:.3f},{low:.3f},{high:.3f},{precision:.3f}")
    return lines


def thumbnails(count: int, look_alike: bool) -> np.ndarray:
    """(count, 64, 64) uint8: smooth random pictures, or blends of two of 200 of them; the end copies the start."""
    import cv2

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
    from artifact_detection.images.candidates import find_candidates
    from artifact_detection.images.duplicates import group_ids, near_duplicate_pairs

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
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=Path, help="a folder of different pictures")
    parser.add_argument("--peers", help="a Python in which imagededup is installed")
    parser.add_argument("--name", default="images", help="goes into the name of the table")
    parser.add_argument("--every", type=int, default=4, help="every n-th original gets copies")
    parser.add_argument("--scale", type=int, help="time the search of so many hashes instead")
    parser.add_argument("--peer-work", choices=["PHash", "CNN"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer_work:
        peer_work(options.peer_work)
        return
    name, lines = ("scale", scale(options.scale)) if options.scale else (options.name, quality(options))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"near_duplicates_{name}.csv").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
