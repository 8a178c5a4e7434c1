"""What does injection cost per image? Target: median <= 15 ms at 512 px on one core over all kinds, none over 60 ms.

    python benchmarks/injection_speed.py

Bare ceiling, in the same run and on the same image: one Pillow JPEG decode and one encode (quality 90), what a loader
pays anyway. All steps of an image are interleaved, on one thread; times are CPU time of that thread, so that other
work on the machine does not count. The portraits are drawn.
Results: results/injection_speed.csv.
"""

import io
import time
from collections.abc import Callable

import cv2
import numpy as np
import pandas as pd
from PIL import Image
from project import RESULTS
from tqdm import tqdm

from artifact_detection.images.faces import find_face
from artifact_detection.injection import KINDS, SEVERITIES, inject
from artifact_detection.portraits import draw_portrait

SIZE, COUNT = 512, 20


def milliseconds(action: Callable[[], object]) -> float:
    start = time.thread_time()
    action()
    return 1000 * (time.thread_time() - start)


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
    cv2.setNumThreads(1)
    images = [draw_portrait(np.random.default_rng(seed), SIZE)[0] for seed in range(COUNT)]
    measure(images[0], 0)  # reads fonts and cascades
    rows = [row for seed, image in enumerate(tqdm(images, disable=None)) for row in measure(image, seed)]
    table = pd.DataFrame(rows)
    summary = table.groupby("step", sort=False)["ms"].agg(["count", "median", "max"])
    injected = table.dropna(subset="with_search")
    for name, column in (("all kinds, face known", "ms"), ("all kinds, face to be found", "with_search")):
        summary.loc[name] = injected[column].agg(["count", "median", "max"])
    summary.to_csv(RESULTS / "injection_speed.csv", float_format="%.2f")
    print(summary.round(1).to_string())
    print(f"CPU ms at {SIZE} px, one thread")


if __name__ == "__main__":
    main()
