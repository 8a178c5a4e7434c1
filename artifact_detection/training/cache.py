"""The decode-once cache: every image decoded and resized once, kept as one memory-mapped uint8 array on disk.

Epochs, folds and attempts share an entry, and more images than memory holds are no problem.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from artifact_detection.images.decoding import ImageError, read_image
from artifact_detection.images.transforms import Preprocessing
from artifact_detection.system.threads import cores

FORMAT = 3  # raise it when the decoder accepts other files


class StreamedImages:
    """What the cache would hold, but decoded whenever it is asked for: (*shape, 3) uint8 by row number."""

    def __init__(self, paths: list[Path], preprocessing: Preprocessing):
        self.paths, self.preprocessing = paths, preprocessing

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> np.ndarray:
        return self.preprocessing.fit(read_image(self.paths[row]))


@dataclass(frozen=True)
class CachedImages:
    """images: (N, *shape, 3) uint8, memory-mapped, zeros where unreadable, or streamed; errors: row -> reason."""

    images: np.ndarray | StreamedImages
    errors: dict[int, str]


def cached_images(paths: list[Path], preprocessing: Preprocessing, folder: Path | None) -> CachedImages:
    """The images at `paths` as `preprocessing.fit` gives them, from the cache in `folder` or decoded into it.

    A change of any file's path, length or modification time makes a new entry. An entry appears under its own name
    only when it is whole, so a killed run leaves nothing that could be mistaken for one.
    folder None: nothing is kept; the images are decoded once to find the unreadable ones, and again for each use.
    """
    if folder is None:
        stream = StreamedImages(paths, preprocessing)
        return CachedImages(stream, _reasons(stream.__getitem__, len(paths)))
    entry = folder / f"{_key(paths, preprocessing)}.npy"
    errors = entry.with_suffix(".json")
    if not (entry.exists() and errors.exists()):
        folder.mkdir(parents=True, exist_ok=True)
        _build(paths, preprocessing, entry, errors)
    return CachedImages(np.load(entry, mmap_mode="r"), {int(k): v for k, v in json.loads(errors.read_text()).items()})


def _key(paths: list[Path], preprocessing: Preprocessing) -> str:
    how = "" if preprocessing.interpolation == "area" else f" {preprocessing.interpolation}"
    digest = hashlib.sha256(f"{FORMAT} {preprocessing.size} {preprocessing.crop}{how}".encode())
    for path in paths:
        stat = path.stat()
        digest.update(os.fsencode(f"\0{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}"))
    return digest.hexdigest()[:32]


def _build(paths: list[Path], preprocessing: Preprocessing, entry: Path, errors: Path) -> None:
    with tempfile.TemporaryDirectory(dir=entry.parent, prefix="building-") as building:
        partial = Path(building) / entry.name
        images = np.lib.format.open_memmap(partial, "w+", np.uint8, (len(paths), *preprocessing.shape, 3))

        def fill(row: int) -> None:
            images[row] = preprocessing.fit(read_image(paths[row]))

        reasons = _reasons(fill, len(paths))
        images.flush()
        errors.write_text(json.dumps(reasons))
        os.replace(partial, entry)


def _reasons(read: Callable[[int], object], count: int) -> dict[int, str]:
    """Call `read` for every row, on all cores; row -> why it cannot be read."""

    def attempt(row: int) -> str | None:
        try:
            read(row)
        except ImageError as error:
            return error.reason
        return None

    with ThreadPoolExecutor(cores()) as pool:
        reasons = list(tqdm(pool.map(attempt, range(count)), "decoding", count, unit="img", disable=None))
    return {row: reason for row, reason in enumerate(reasons) if reason}
