"""What does injection cost per image? Target: median <= 15 ms at 512 px on one core over all kinds, none over 60 ms.

    python benchmarks/injection_speed.py
    python benchmarks/injection_speed.py --images FACES --size 512

Bare ceiling, in the same run and on the same image: one Pillow JPEG decode and one encode (quality 90), what a loader
pays anyway. All steps of an image are interleaved, on one thread; times are CPU time of that thread, so that other
work on the machine does not count. Without --images the portraits are drawn.
"""

import argparse
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from artifact_detection.images.decoding import read_image  # noqa: E402
from artifact_detection.images.faces import find_face  # noqa: E402
from artifact_detection.injection import KINDS, SEVERITIES, inject  # noqa: E402
from artifact_detection.injection.dataset import find_images  # noqa: E402
from artifact_detection.portraits import draw_portrait  # noqa: E402


def milliseconds(action: Callable[[], object]) -> float:
    start = time.thread_time()
    action()
    return 1000 * (time.thread_time() - start)


def load(folder: Path | None, count: int, size: int) -> list[np.ndarray]:
    """`count` square images (size, size, 3) uint8."""
    if folder is None:
        return [draw_portrait(np.random.default_rng(seed), size)[0] for seed in range(count)]
    paths, _ = find_images(folder)
    chosen = np.random.default_rng(0).permutation(len(paths))[:count]
    return [cv2.resize(read_image(paths[i]), (size, size), interpolation=cv2.INTER_AREA) for i in chosen]


def measure(image: np.ndarray, seed: int) -> list[dict]:
    """One row a step: the JPEG ceiling, finding the face, and every kind at every severity with the face known."""
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, "JPEG", quality=90)
    face = find_face(image)
    steps = {
        "Pillow JPEG decode": lambda: np.asarray(Image.open(encoded)),
        "Pillow JPEG encode": lambda: Image.fromarray(image).save(io.BytesIO(), "JPEG", quality=90),
        "find the face": lambda: find_face(image),
    }
    rows = [{"step": name, "ms": milliseconds(step)} for name, step in steps.items()]
    for kind in KINDS:
        for severity in SEVERITIES:
            rng = np.random.default_rng((seed, severity))
            took = milliseconds(lambda: inject(image, kind, severity, rng, face))  # noqa: B023
            rows.append({"step": f"{KINDS[kind]}: {kind}", "ms": took, "with_search": took + rows[2]["ms"]})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="folder of portraits (default: drawn ones)")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/injection_speed.csv")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    images = load(options.images, options.count, options.size)
    measure(images[0], 0)  # reads fonts and cascades
    rows = [row for seed, image in enumerate(tqdm(images, disable=None)) for row in measure(image, seed)]
    table = pd.DataFrame(rows)
    summary = table.groupby("step", sort=False)["ms"].agg(["count", "median", "max"])
    injected = table.dropna(subset="with_search")
    for name, column in (("all kinds, face known", "ms"), ("all kinds, face to be found", "with_search")):
        summary.loc[name] = injected[column].agg(["count", "median", "max"])
    options.out.parent.mkdir(parents=True, exist_ok=True)
    summary.to_csv(options.out, float_format="%.2f")
    print(summary.round(1).to_string())
    print(f"CPU ms at {options.size} px, one thread; written to {options.out}")


if __name__ == "__main__":
    main()
