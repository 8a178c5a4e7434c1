"""What does the review page cost a person who looks at images one by one?

    python filter_images.py FACES --audit 60
    python benchmarks/review_pace.py filtered/report.html

A scripted reader in headless Chromium (playwright, of requirements-dev.txt) looks at the page's random sample, or at
the most informative images where none was drawn. It waits --wait seconds an image, drawn evenly, then presses K or R;
at every tenth image it takes its decision back with Z and gives it again. Measured in the page: from the key to the
next image decoded and on the screen, two frames later. A person needs 2 to 3 seconds an image; with --wait 0 0 nothing
is read ahead of the reader.
"""

import argparse
import random
import time
from pathlib import Path
from shutil import which

import numpy as np
from playwright.sync_api import Page, sync_playwright

PRESS = """async (key) => {
  const start = performance.now();
  document.dispatchEvent(new KeyboardEvent("keydown", { key }));
  const image = document.querySelector("#looking-image img");
  if (image) await image.decode();
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  return performance.now() - start;
}"""
OPEN = "() => { if (!looking.queue) startLooking('informative'); return looking.list.length; }"
EVERY = 10  # images between two changes of mind


def read(page: Page, looks: int, wait: tuple[float, float]) -> dict[str, list[float]]:
    """Milliseconds from each key to the next image, by what the key does."""
    rng, costs = random.Random(0), {"a decision": [], "an undo": []}
    for number in range(1, looks + 1):
        page.wait_for_timeout(1000 * rng.uniform(*wait))
        costs["a decision"].append(page.evaluate(PRESS, rng.choice("kr")))
        if number % EVERY == 0:
            costs["an undo"].append(page.evaluate(PRESS, "z"))
            costs["a decision"].append(page.evaluate(PRESS, "k"))
    return costs


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    parser.add_argument("--looks", type=int, default=40, help="images that are looked at (default: %(default)s)")
    parser.add_argument("--wait", type=float, nargs=2, default=(2.0, 3.0), metavar=("LEAST", "MOST"), help="seconds")
    return parser.parse_args()


def main() -> None:
    options = parse_arguments()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        start = time.perf_counter()
        page.goto(options.report.resolve().as_uri())
        queue = page.evaluate(OPEN)
        loaded = time.perf_counter() - start
        start = time.perf_counter()
        costs = read(page, min(options.looks, queue), options.wait)
        minutes = (time.perf_counter() - start) / 60
        images = page.evaluate("data.images.length")
        browser.close()
    print(f"{images} images on the page, {queue} to look at; the page is there after {loaded:.1f} s")
    for name, times in costs.items():
        if times:
            print(f"{name}: median {np.median(times):.0f} ms, longest {max(times):.0f} ms ({len(times)} times)")
    print(f"{min(options.looks, queue) / minutes:.1f} images a minute, at {np.mean(options.wait):.1f} s an image")


if __name__ == "__main__":
    main()
