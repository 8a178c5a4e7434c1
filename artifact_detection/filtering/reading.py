"""One item -> its record without a probability, and the pixels that the network sees. One decode for everything."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch

from artifact_detection.filtering.inputs import Item, read_bytes
from artifact_detection.filtering.store import LAYOUT, MEASURES, Record
from artifact_detection.images import measure
from artifact_detection.images.decoding import MAX_BYTES, DecodedImage, ImageError, decoded
from artifact_detection.images.transforms import Preprocessing, View, evaluation_transform
from artifact_detection.system.files import sha256_file

PREVIEW_SIDE = 160  # pixels of the longer side
QUALITY = 75


class Prepared(NamedTuple):
    """image: (3, *shape) uint8, None for a file that cannot be used; view: see `Preprocessing.view`."""

    record: Record
    image: torch.Tensor | None = None
    view: View = (0.0, 0.0, 1.0, 1.0)


def prepare(item: Item, preprocessing: Preprocessing, thumbnail: bool) -> Prepared:
    try:
        with opened(item) as image:
            small = _halved(image.pixels)
            height, width = image.pixels.shape[:2]
            values = {"sha256": hashlib.sha256(image.data).hexdigest(), "width": width, "height": height}
            record = Record.of(item, **values, **_numbers(image, small))
            if thumbnail:
                record.thumbnail = encode_thumbnail(small)
            view = preprocessing.view(image.pixels)
            return Prepared(record, evaluation_transform(image.pixels, preprocessing, view), view)
    except ImageError as error:
        return Prepared(Record.of(item, error=error.reason, sha256=hash_if_readable(item)))


@contextmanager
def opened(item: Item) -> Iterator[DecodedImage]:
    """An item, decoded, as it was when it was found. Raises ImageError, also if it is gone or has changed."""
    if item.problem:
        raise ImageError(item.path, item.problem)
    _refuse_changed(item)
    with _own_file(item) as path, decoded(path) as image:
        _refuse_changed(item)
        yield image


@contextmanager
def _own_file(item: Item) -> Iterator[str]:
    """The item as a file of its own: a member of a shard is written to a temporary one."""
    if not item.in_shard:
        yield item.file
        return
    try:
        data = read_bytes(item)
    except (OSError, EOFError) as error:
        raise ImageError(item.path, f"unreadable: {error}") from error
    with tempfile.NamedTemporaryFile(suffix=Path(item.path).suffix) as member:
        member.write(data)
        member.flush()
        yield member.name


def _refuse_changed(item: Item) -> None:
    try:
        status = os.stat(item.file)
    except OSError as error:
        raise ImageError(item.path, f"vanished: {error.strerror}") from error
    if status.st_mtime_ns != item.mtime_ns or not (item.in_shard or status.st_size == item.bytes):
        raise ImageError(item.path, "changed: since this run began")


def hash_if_readable(item: Item) -> str:
    """The SHA-256 of a file that is no usable image; empty if its bytes cannot be read either."""
    try:
        if item.bytes > MAX_BYTES:  # a sparse file of a terabyte would be read for an hour, and was not decoded
            return ""
        if item.in_shard:
            return hashlib.sha256(read_bytes(item)).hexdigest()
        return sha256_file(item.file) if os.path.isfile(item.file) else ""
    except (OSError, EOFError):
        return ""


def _halved(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8, halved as often as a thumbnail allows: by two is much faster than by any other number."""
    while max(pixels.shape[:2]) >= 2 * PREVIEW_SIDE and min(pixels.shape[:2]) > 1:
        height, width = (side // 2 for side in pixels.shape[:2])
        pixels = cv2.resize(pixels[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
    return pixels


def _numbers(image: DecodedImage, small: np.ndarray) -> dict[str, bytes]:
    luma = cv2.cvtColor(image.pixels, cv2.COLOR_RGB2GRAY)
    values = measure.luma_measures(luma) | measure.colour_measures(image)
    layout = cv2.resize(small, (LAYOUT, LAYOUT), interpolation=cv2.INTER_AREA)
    return {"measures": np.float32([values[name] for name in MEASURES]).tobytes(), "layout": layout.tobytes()}


def encode_thumbnail(pixels: np.ndarray) -> bytes:
    """(H, W, 3) uint8 RGB from `_halved` -> a JPEG file of at most PREVIEW_SIDE pixels a side; never enlarged."""
    height, width = pixels.shape[:2]
    scale = min(1.0, PREVIEW_SIDE / max(height, width))
    small = cv2.resize(pixels, (max(1, round(width * scale)), max(1, round(height * scale))))
    _, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return data.tobytes()
