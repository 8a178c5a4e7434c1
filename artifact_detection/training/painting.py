"""What training images go through on the fly, before they are fitted and augmented: artifacts, and what is none."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from artifact_detection.images.faces import Face
from artifact_detection.injection import KINDS, SEVERITIES, inject_random
from artifact_detection.injection.benign import edit_benignly
from artifact_detection.injection.degradation import degrade
from artifact_detection.injection.style import restyle
from artifact_detection.injection.variation import vary


@dataclass(frozen=True)
class Painting:
    """kinds: artifacts that can be injected; slightest: their least severity; evenly: see `inject_random`.

    vary, restyle, benign, degrade: shares of the samples that are reshaped and toned first, that are drawn in another
    style, that get an edit which is no artifact, that go through scaling, noise and JPEG at the end.
    """

    kinds: Sequence[str] = tuple(KINDS)
    slightest: int = 1
    evenly: str = "families"
    vary: float = 0.0
    restyle: float = 0.0
    benign: float = 0.0
    degrade: float = 0.0

    def applied(self, image: np.ndarray, face: Face | None, seed: int, inject: bool) -> tuple[np.ndarray, np.ndarray]:
        """(H, W, 3) uint8 -> the painted image and its regions, (H, W) uint8, see `inject_random`.

        face: needed to inject, and unless both `vary` and `benign` are 0. The same seed with and without `inject`
        gives twins.
        """
        regions = np.zeros(image.shape[:2], np.uint8)
        rng = np.random.default_rng((seed, 4))
        if rng.random() < self.vary:
            image, face = vary(image, face, rng)
        style = np.random.default_rng((seed, 5))
        restyled = self.restyle > style.random()
        last = style.random() < 0.5  # then the artifact is drawn in that style too
        if restyled and not last:
            image = restyle(image, style)
        rng = np.random.default_rng((seed, int(inject)))  # twins draw apart, so an edit says nothing about the label
        if rng.random() < self.benign:
            image = edit_benignly(image, rng, face)
        if inject:
            rng, severities = np.random.default_rng(seed), range(self.slightest, max(SEVERITIES) + 1)
            image, regions = inject_random(image, rng, self.kinds, severities, face, self.evenly)
        if restyled and last:
            image = restyle(image, style)
        rng = np.random.default_rng((seed, 2))  # of both twins: only the artifact is to tell them apart
        return (degrade(image, rng) if rng.random() < self.degrade else image), regions
