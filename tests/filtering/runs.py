"""Small folders to filter, and running filter_images.py on them in this process."""

import csv
import io
import tarfile
from pathlib import Path

import cv2
import numpy as np

import filter_images

ROOT = Path(filter_images.__file__).resolve().parent
THRESHOLDS = ["--threshold", "0.4", "0.6"]


def portrait(seed: int, size: int = 40) -> np.ndarray:
    """(size, size, 3) uint8: soft colours that differ from seed to seed."""
    colours = np.random.default_rng(seed).integers(256, size=(3, 3, 3)).astype(np.uint8)
    return cv2.resize(colours, (size, size), interpolation=cv2.INTER_CUBIC)


def write_image(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, portrait(seed))[1].tobytes())
    return path


def run(*arguments: object, model: Path | None = None, out: Path | None = None) -> int:
    extra = (["--model", model] if model else []) + (["--out", out] if out else [])
    return filter_images.main([str(argument) for argument in (*arguments, *extra)])


def read_scores(out: Path) -> dict[str, dict[str, str]]:
    with open(out / "scores.csv", encoding="utf-8", newline="") as handle:
        return {row["path"]: row for row in csv.DictReader(handle)}


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every visible file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file() and ".work" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def add_member(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def make_shard(path: Path, images: Path) -> Path:
    """A webdataset shard with a sidecar, a hostile name, a nested tar, a link and a compressed tar."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w") as archive:
        add_member(archive, "deep.png", (images / "05.png").read_bytes())
    with tarfile.open(path, "w") as archive:
        add_member(archive, "0001.png", (images / "01.png").read_bytes())
        add_member(archive, "0001.json", b"{}")
        add_member(archive, "../../escape.png", (images / "03.png").read_bytes())
        add_member(archive, "inner.tar", inner.getvalue())
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        add_member(archive, "packed.tar.gz", b"x")
        add_member(archive, "last.png", (images / "07.png").read_bytes())
    return path


def read_rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))
