"""Zeros where pixels were: a hole in a file, a stopped download in a file of full size. What tells them from black.

What share of damaged files that finds: benchmarks/damaged_files.py.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

MIN_HOLE = 4096  # bytes, as in a file system's block; uncompressed rows may be longer
EDGE = 8  # bytes: a border that is met so closely is met
_NOT_ZERO = re.compile(rb"[^\0]")


def zero_runs(data: bytes, start: int, end: int, least: int) -> Iterator[tuple[int, int]]:
    """Where each run of at least `least` zero bytes begins and ends, between two places of the file."""
    zeros = bytes(least)
    while (start := data.find(zeros, start, end)) >= 0:
        other = _NOT_ZERO.search(data, start, end)
        stop = other.start() if other else end
        yield start, stop
        start = stop


@dataclass(frozen=True)
class PlainRows:
    """Uncompressed rows of `stride` bytes from `start` to `end` of `data`, of the image or of a tile of it.

    least: how many zeros in a row may be a hole. used: the share of bytes that a pixel's colours take.
    """

    data: bytes
    start: int
    end: int
    stride: int
    least: int
    used: float = 1.0

    def lost(self) -> int:
        """How many zeros in a row are no black area of a picture, by where they begin and end; 0 if all may be one.

        Zeros that begin just where a row does may be a black bar: they pass.
        """
        for first, stop in zero_runs(self.data, self.start + self.stride, self.end, self.least):
            if self._is_hole(first, stop):
                return stop - first
        return 0

    def _is_hole(self, first: int, stop: int) -> bool:
        """A black bar begins where a row does; the dark end of the row before one is dark one row higher, too."""
        column, above = (first - self.start) % self.stride, first - self.stride
        if not EDGE <= column <= self.stride - EDGE:
            return False
        if stop - first < self.stride:  # as is a line of one pixel's height, but that seldom begins in mid-row
            below = self._lit(first + self.stride, stop + self.stride) if first + self.stride < self.end else 1
            return min(self._lit(above, stop - self.stride), below) > 0.95
        return self._lit(above, first) > 0.5 and self._lit(above, first - column) > 0.8

    def _lit(self, start: int, stop: int) -> float:
        """The share of bytes that are not zero, of those in use; 0 where there are none."""
        part = np.frombuffer(self.data[start : min(stop, self.end)], np.uint8)
        return np.count_nonzero(part) / max(1.0, part.size * self.used)
