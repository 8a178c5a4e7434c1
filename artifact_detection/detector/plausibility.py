"""What a checkpoint's plain values may be: a crafted or damaged file is refused before its numbers judge an image."""

import math
from numbers import Real

import torch

MAX_SIZE = 4096  # pixels of a side that a network looks at


def implausible(checkpoint: dict) -> str:
    """What is wrong with a checkpoint's values, in a few words; empty if nothing is."""
    temperature, threshold, shift = (checkpoint[name] for name in ("temperature", "threshold", "shift"))
    if not (_is_number(temperature) and temperature > 0):
        return f"temperature {temperature!r:.40} is no positive number"
    if not (_is_number(threshold) and 0 <= threshold <= 1):
        return f"threshold {threshold!r:.40} is no probability"
    if not _is_number(shift):
        return f"shift {shift!r:.40} is no number"
    bands = _implausible_bands(checkpoint.get("default_bands"))
    return bands or _implausible_pixels(checkpoint["preprocessing"]) or _implausible_scores(checkpoint)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _implausible_bands(bands: object) -> str:
    """Of the bands for images that nothing can be promised about; a checkpoint may have none."""
    if bands is None:
        return ""
    known = isinstance(bands, dict) and bands.keys() == {"keep", "reject", "source"}
    if known and all(_is_number(bands[name]) and 0 <= bands[name] <= 1 for name in ("keep", "reject")):
        return ""
    return "default_bands are not two probabilities and where they come from"


def _implausible_pixels(preprocessing: object) -> str:
    if not isinstance(preprocessing, dict):
        return "preprocessing is no dict"
    size = preprocessing.get("size")
    if type(size) is not int or not 1 <= size <= MAX_SIZE:
        return f"size {size!r:.40} is no whole number from 1 to {MAX_SIZE}"
    mean, std = preprocessing.get("mean"), preprocessing.get("std")
    colours = all(isinstance(one, list | tuple) and len(one) == 3 and all(map(_is_number, one)) for one in (mean, std))
    return "" if colours and min(std) > 0 else "mean or std is not three numbers, or a std is not positive"


def _implausible_scores(checkpoint: dict) -> str:
    """Of the validation images, which promises rest on; a checkpoint may have none."""
    if not isinstance(checkpoint.get("validation_injected", False), bool):
        return "validation_injected is neither true nor false"
    names = ("validation_targets", "validation_probabilities", "validation_parts")
    values = [checkpoint[name] for name in names if checkpoint.get(name) is not None]
    if any(checkpoint.get(name) is None for name in names[:2]):
        return ""
    lists = all(isinstance(value, torch.Tensor) and value.ndim == 1 for value in values)
    if not lists or len(set(map(len, values))) > 1:
        return "validation targets and probabilities are not two lists of one length"
    targets, probabilities, *_ = values
    if not ((targets == 0) | (targets == 1)).all():
        return "validation targets are not 0 or 1"
    if not ((probabilities >= 0) & (probabilities <= 1)).all():  # NaN is neither
        return "validation probabilities are not from 0 to 1"
    return ""
