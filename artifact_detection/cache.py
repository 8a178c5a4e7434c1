"""The decode-once cache: every image decoded and resized once, kept as one memory-mapped uint8 array on disk."""

import hashlib
import json
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from artifact_detection.images import ImageError, read_image
from artifact_detection.transforms import resize

FORMAT = 1


@dataclass(frozen=True)
class CachedImages:
    """images: (N, size, size, 3) uint8, memory-mapped, zeros where unreadable; errors: row -> reason."""

    images: np.ndarray
    errors: dict[int, str]


def cached_images(paths: list[Path], size: int, folder: Path) -> CachedImages:
    """The images at `paths`, resized to (size, size, 3) uint8, from the cache in `folder` or decoded into it.

    A change of any file's path, length or modification time makes a new entry. An entry appears under its own name
    only when it is whole, so a killed run leaves nothing that could be mistaken for one.
    """
    entry = folder / f"{_key(paths, size)}.npy"
    errors = entry.with_suffix(".json")
    if not (entry.exists() and errors.exists()):
        folder.mkdir(parents=True, exist_ok=True)
        _build(paths, size, entry, errors)
    return CachedImages(np.load(entry, mmap_mode="r"), {int(k): v for k, v in json.loads(errors.read_text()).items()})


def _key(paths: list[Path], size: int) -> str:
    digest = hashlib.sha256(f"{FORMAT} {size}".encode())
    for path in paths:
        stat = path.stat()
        digest.update(f"\0{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}".encode())
    return digest.hexdigest()[:32]


def _build(paths: list[Path], size: int, entry: Path, errors: Path) -> None:
    with tempfile.TemporaryDirectory(dir=entry.parent, prefix="building-") as building:
        partial = Path(building) / entry.name
        reasons = _decode_all(paths, size, partial)
        errors.write_text(json.dumps({row: reason for row, reason in enumerate(reasons) if reason}))
        os.replace(partial, entry)


def _decode_all(paths: list[Path], size: int, file: Path) -> list[str | None]:
    """Write the (N, size, size, 3) array; why each file cannot be used, or None."""
    images = np.lib.format.open_memmap(file, "w+", np.uint8, (len(paths), size, size, 3))

    def fill(row: int) -> str | None:
        try:
            images[row] = resize(read_image(paths[row]), size)
        except ImageError as error:
            return error.reason
        return None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        reasons = list(tqdm(pool.map(fill, range(len(paths))), "decoding", len(paths), unit="img", disable=None))
    images.flush()
    return reasons
