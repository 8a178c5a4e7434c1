"""Which network scores: the original, or the int8 one where it is worth it and agrees with the original."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np

from artifact_detection.detector.device import pick_device
from artifact_detection.detector.scoring import Scorer
from artifact_detection.filtering import int8
from artifact_detection.filtering.actions import ActionError
from artifact_detection.filtering.inputs import Item
from artifact_detection.filtering.reading import prepare
from artifact_detection.system.files import write_atomic
from artifact_detection.system.paths import WORK
from artifact_detection.system.processes import Crew
from artifact_detection.system.threads import prepared_batches

ENGINES = ("auto", "torch", "int8")
WORTH_INT8 = 2_000  # images: fewer are scored before the fast network is ready


def choose_engine(
    options: argparse.Namespace, crew: Crew, scorer: Scorer, items: list[Item], edges: Sequence[float | None]
) -> int8.Agreement | None:
    """Give the scorer the int8 network if it is wanted, can be had, and agrees with the original on these images.

    Returns how well it agrees, None where the original is used. Raises ActionError where --engine cannot be had.
    """
    scorer.batch = min(scorer.batch, len(items))
    on_cpu = pick_device(options.device).type == "cpu"
    wanted = options.engine == "int8" or (options.engine == "auto" and len(items) >= WORTH_INT8)
    if not (wanted and on_cpu and int8.available()):
        if options.engine == "int8":
            raise ActionError("--engine int8 needs a CPU, and: pip install openvino nncf")
        return None
    network = options.out / WORK / f"{scorer.model_id}-{scorer.batch}-int8.xml"
    verdict = network.with_suffix(".agreement.json")
    if crew.leads and not verdict.exists():
        make_int8(scorer, items, network, verdict, crew.threads)
    crew.wait()
    agreement = int8.Agreement(**json.loads(verdict.read_text(encoding="utf-8")))
    if crew.leads:
        print(agreement.sentence(edges), file=sys.stderr)
    if not agreement.accepted(edges):
        return None
    scorer.engine = int8.Int8Engine(network, crew.threads)
    return agreement


def make_int8(scorer: Scorer, items: Sequence[Item], network: Path, verdict: Path, threads: int) -> None:
    """Quantise the network on images from all over the input, compare it on others, and write down how it did."""
    wanted = int8.CALIBRATION + int8.CHECK
    chosen = [items[n] for n in np.linspace(0, len(items) - 1, min(len(items), wanted)).astype(int)]
    look = partial(prepare, preprocessing=scorer.preprocessing, thumbnail=False)
    ready = prepared_batches(look, [[item] for item in chosen], threads)
    images = [one.image for (one,) in ready if one.image is not None]
    agreement = int8.Agreement([], [])
    if images:
        check = images[:: max(2, len(images) // int8.CHECK)]
        calibration = [image for n, image in enumerate(images) if n % max(2, len(images) // int8.CHECK)]
        int8.quantise(scorer, calibration or check, network)
        agreement = int8.compare(scorer, int8.Int8Engine(network, threads), check)
    write_atomic(verdict, json.dumps(asdict(agreement)))
