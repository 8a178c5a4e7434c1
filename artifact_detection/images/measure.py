"""One pass over image files: every file is read and decoded once, and everything is measured from that."""

import hashlib
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from artifact_detection.images.decoding import DecodedImage, ImageError, decode_file
from artifact_detection.images.measurements import THUMBNAIL, Measurements, Stamp, load, save, stamp
from artifact_detection.system.threads import cores

MEASURES = ("brightness", "deviation", "contrast", "sharpness", "saturation", "entropy", "aspect")
COLOURS = ("red", "green", "blue")
PIXELS = ["pixels_crc32", "width", "height", "brightness", "deviation", "sharpness"]
"""Columns that together tell pixels apart: the checksum alone would do by chance for one pair in four billion."""
_BAD = {"format": "", "mode": "", "sha256": "", "pixels_crc32": 0, "width": 0, "height": 0}
_BAD |= dict.fromkeys((*MEASURES, *COLOURS), np.nan)


def measure_files(paths: Sequence[str | Path], cache: str | Path | None = None) -> Measurements:
    """Measure every file, on all cores. Bad files do not stop it: their `error` says why, their thumbnail is black.

    Columns: path (as given), bytes, mtime_ns, width, height; error ("" if none), format, mode, sha256 (of the file),
    pixels_crc32 (of the RGB pixels, see PIXELS); brightness and deviation (mean and standard deviation of luma, 0 to
    255), contrast (98th minus 2nd percentile of luma), sharpness (variance of luma's Laplacian), saturation (HSV, 0
    to 1), entropy (of the luma histogram, 0 to 8 bits), aspect (width / height), red, green, blue (means, 0 to 255).
    The measures of a bad file are 0 or NaN.

    cache: a file. What it holds for a path of unchanged size and modification time is not measured again; it is
    brought up to date if it can be written.
    """
    known = load(cache)
    stamps = [stamp(path) for path in paths]
    rows = known.find(stamps)
    stale = np.flatnonzero(rows < 0)
    rows[stale] = len(known.table) + np.arange(len(stale))
    new = _measure([stamps[row] for row in stale])
    everything = known.append(new)
    if cache is not None and (new.table["error"] == "").any():
        save(everything, cache)
    measured = everything.take(rows)
    return Measurements(measured.table.assign(path=[str(path) for path in paths]), measured.thumbnails)


def _measure(stamps: list[Stamp]) -> Measurements:
    thumbnails = np.zeros((len(stamps), THUMBNAIL, THUMBNAIL), dtype=np.uint8)

    def measure(row: int) -> dict:
        try:
            image = decode_file(stamps[row].path)
        except ImageError as error:
            return stamps[row]._asdict() | {"error": error.reason} | _BAD
        luma = cv2.cvtColor(image.pixels, cv2.COLOR_RGB2GRAY)
        thumbnails[row] = cv2.resize(luma, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
        measures = luma_measures(luma) | histogram_measures(luma) | colour_measures(image)
        return stamps[row]._asdict() | {"error": ""} | _identity(image) | measures

    with ThreadPoolExecutor(cores()) as pool:  # decoding and OpenCV leave Python's lock
        results = pool.map(measure, range(len(stamps)))
        rows = list(tqdm(results, "measuring", len(stamps), unit="img", disable=None))
    return Measurements(pd.DataFrame(rows, columns=[*Stamp._fields, "error", *_BAD]), thumbnails)


def _identity(image: DecodedImage) -> dict:
    height, width = image.pixels.shape[:2]
    return {
        "format": image.format,
        "mode": image.mode,
        "sha256": hashlib.sha256(image.data).hexdigest(),
        "pixels_crc32": zlib.crc32(image.pixels),
        "width": width,
        "height": height,
        "aspect": width / height,
    }


def luma_measures(luma: np.ndarray) -> dict:
    """(H, W) uint8 -> brightness, deviation and sharpness."""
    brightness, deviation = (value.item() for value in cv2.meanStdDev(luma))
    edges = cv2.meanStdDev(cv2.Laplacian(luma, cv2.CV_16S))[1].item()
    return {"brightness": brightness, "deviation": deviation, "sharpness": edges**2}


def histogram_measures(luma: np.ndarray) -> dict:
    """(H, W) uint8 -> contrast and entropy; they take as long as all other measures."""
    share = cv2.calcHist([luma], [0], None, [256], [0, 256])[:, 0].astype(np.float64) / luma.size
    low, high = np.searchsorted(np.cumsum(share), (0.02, 0.98))
    return {"contrast": float(high - low), "entropy": -share[share > 0] @ np.log2(share[share > 0])}


def colour_measures(image: DecodedImage) -> dict:
    """Saturation and channel means of at most 128x128 evenly spaced pixels: means settle fast, and time is short."""
    height, width = image.pixels.shape[:2]
    sample = cv2.resize(image.pixels, (min(width, 128), min(height, 128)), interpolation=cv2.INTER_NEAREST)
    colours = dict(zip(COLOURS, cv2.mean(sample), strict=False))
    return {"saturation": cv2.mean(cv2.cvtColor(sample, cv2.COLOR_RGB2HSV))[1] / 255} | colours
