"""The decode-once cache: every image decoded and resized once, kept as one memory-mapped uint8 array on disk.

Epochs, folds and attempts share an entry, and more images than memory holds are no problem.
"""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from artifact_detection.images.decoding import ACCEPTED, ImageError, read_image
from artifact_detection.images.transforms import Preprocessing
from artifact_detection.system.locks import FolderBusyError, exclusive_lock
from artifact_detection.system.ownership import OwnFolder
from artifact_detection.system.paths import WORK
from artifact_detection.system.threads import cores

PATIENCE = 60.0  # seconds: what another run removes may be large
BUILDING = "building-"  # how the names of unfinished entries start, in the cache's own .work


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
    shape = (len(paths), *preprocessing.shape, 3)
    found = _read(entry, shape)
    if found is None:
        folder.mkdir(parents=True, exist_ok=True)
        _build(paths, preprocessing, entry)
        found = _read(entry, shape)
    return found


def _read(entry: Path, shape: tuple[int, ...]) -> CachedImages | None:
    try:
        images = np.load(entry, mmap_mode="r")
        errors = {int(row): reason for row, reason in json.loads(entry.with_suffix(".json").read_text()).items()}
    except (OSError, ValueError, EOFError, AttributeError):
        return None
    return CachedImages(images, errors) if images.shape == shape else None


def _key(paths: list[Path], preprocessing: Preprocessing) -> str:
    how = "" if preprocessing.interpolation == "area" else f" {preprocessing.interpolation}"
    digest = hashlib.sha256(f"{ACCEPTED} {preprocessing.size} {preprocessing.crop}{how}".encode())
    for path in paths:
        stat = path.stat()
        digest.update(os.fsencode(f"\0{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}"))
    return digest.hexdigest()[:32]


def _build(paths: list[Path], preprocessing: Preprocessing, entry: Path) -> None:
    """Decode the images into an entry. Raises OSError, also where there is no room for it."""
    with _building_folder(entry.parent) as building:
        partial, errors = building / entry.name, building / entry.with_suffix(".json").name
        images = _allocated(partial, (len(paths), *preprocessing.shape, 3))

        def fill(row: int) -> None:
            images[row] = preprocessing.fit(read_image(paths[row]))

        errors.write_text(json.dumps(_reasons(fill, len(paths))))
        images.flush()
        os.replace(errors, entry.with_suffix(".json"))
        os.replace(partial, entry)


@contextmanager
def _building_folder(folder: Path) -> Iterator[Path]:
    """A folder for an unfinished entry; those of runs that were killed are removed first."""
    with ExitStack() as held:
        with exclusive_lock(folder, PATIENCE):  # a folder that another run has just made is not locked yet
            work = OwnFolder.claim(folder, "training's cache").path / WORK
            for left in work.glob(f"{BUILDING}*"):
                with suppress(FolderBusyError, FileNotFoundError), exclusive_lock(left):
                    shutil.rmtree(left)
            building = work / f"{BUILDING}{secrets.token_hex(8)}"
            building.mkdir()
            held.callback(shutil.rmtree, building, ignore_errors=True)
            held.enter_context(exclusive_lock(building))
        yield building


def _allocated(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """A new uint8 array in a file whose room is taken: on a full disk, writing into a mapped file kills the process."""
    images = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
    size = path.stat().st_size
    try:
        with open(path, "r+b") as handle:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(handle.fileno(), 0, size)
            else:
                handle.seek(images.offset)
                for start in range(0, images.nbytes, 1 << 20):
                    handle.write(bytes(min(1 << 20, images.nbytes - start)))
    except OSError as error:
        text = f"{error.strerror} for {size / 1e6:.0f} MB of decoded images: pass another --cache, or --no-cache"
        raise OSError(error.errno, text) from error
    return images


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
