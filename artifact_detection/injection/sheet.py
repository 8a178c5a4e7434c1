"""The contact sheet: every kind at every severity, so that a person can judge what is injected."""

from collections.abc import Sequence

import cv2
import numpy as np

from artifact_detection.images.faces import find_face
from artifact_detection.injection import FAMILIES, KINDS, SEVERITIES, inject

CAPTION = 15  # height of the line above each strip, pixels
GAP = 6
INK, PAPER = (40, 40, 40), 250


def contact_sheet(images: Sequence[np.ndarray], tile: int, columns: int, seed: int) -> np.ndarray:
    """A strip a kind with its three severities, `columns` strips side by side: (H, W, 3) uint8.

    images: clean ones, (H, W, 3) uint8; each kind takes the next one.
    """
    strips = []
    for number, (kind, family) in enumerate(KINDS.items()):
        image = images[number % len(images)]
        face = find_face(image)
        tiles = [
            _tile(inject(image, kind, severity, np.random.default_rng((seed, number, severity)), face)[0], tile)
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
        members += [blank] * (-len(members) % columns)
        rows += [_spaced(members[i : i + columns], axis=1) for i in range(0, len(members), columns)]
    return _spaced(rows, axis=0)


def _tile(image: np.ndarray, side: int) -> np.ndarray:
    """The image scaled to fit a square, on grey."""
    scale = side / max(image.shape[:2])
    size = tuple(max(1, round(length * scale)) for length in image.shape[1::-1])
    tile = np.full((side, side, 3), 128, np.uint8)
    x, y = (side - size[0]) // 2, (side - size[1]) // 2
    tile[y : y + size[1], x : x + size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return tile


def _spaced(parts: list[np.ndarray], axis: int) -> np.ndarray:
    shape = list(parts[0].shape)
    shape[axis] = GAP
    gap = np.full(shape, PAPER, np.uint8)
    return np.concatenate([gap, *(piece for part in parts for piece in (part, gap))], axis=axis)
