"""How many damaged files are refused, by format and kind of damage; and is every whole file read?

    python benchmarks/damaged_files.py --faces FACES [--every 12]

Each face is stored in each format, then damaged: the end of the file, or 4 KiB of it, are zeros (at any place, where a
file system would have it, or just where an uncompressed row begins), the end is cut off, bytes are overwritten, bits
flipped or blocks swapped. Uncompressed files with black areas that are no damage come, too. Counted are those that are
refused, and those that are read with other pixels than the whole file's, of 1 % or more. Writes
results/damaged_files.csv.
"""

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw
from project import RESULTS
from tqdm import tqdm

from artifact_detection.images.decoding import ImageError, read_image
from artifact_detection.system.arguments import script_parser

BLOCK = 4096
CHANGED = 0.01  # share of the pixels
FORMATS = {
    "JPEG": ("JPEG", "jpg", {}),
    "JPEG progressive": ("JPEG", "jpg", {"progressive": True}),
    "JPEG restart": ("JPEG", "jpg", {"restart_marker_rows": 1}),
    "WebP": ("WEBP", "webp", {}),
    "WebP lossless": ("WEBP", "webp", {"lossless": True, "method": 1, "quality": 20}),
    "PNG": ("PNG", "png", {"compress_level": 1}),
    "BMP": ("BMP", "bmp", {}),
    "TIFF": ("TIFF", "tif", {}),
    "TIFF LZW": ("TIFF", "tif", {"compression": "tiff_lzw"}),
}


def stored(image: Image.Image, name: str) -> bytes:
    format_, _, options = FORMATS[name]
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def damages(data: bytes, image: Image.Image, name: str, rng: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    """(kind of damage, file)"""

    def zeroed(start: int, size: int) -> bytes:
        return data[:start] + bytes(len(data[start : start + size])) + data[start + size :]

    somewhere = int(len(data) * rng.uniform(0.1, 0.95))
    block = somewhere // BLOCK * BLOCK
    yield "end zeroed", zeroed(somewhere, len(data))
    yield "end zeroed from a block on", zeroed(max(block, 512), len(data))
    yield "4 KiB zeroed", zeroed(somewhere, BLOCK)
    yield "a block zeroed", zeroed(max(block, 512), BLOCK)
    yield "cut", data[:somewhere]
    yield "4 KiB overwritten", data[:somewhere] + rng.bytes(BLOCK) + data[somewhere + BLOCK :]
    yield "64 bytes overwritten", data[:somewhere] + rng.bytes(64) + data[somewhere + 64 :]
    yield "a bit flipped", data[:somewhere] + bytes([data[somewhere] ^ 16]) + data[somewhere + 1 :]
    size = min(BLOCK, len(data) // 8)
    first, other = np.sort(rng.choice(np.arange(1, len(data) // size), 2, replace=False)) * size
    swapped = bytearray(data)
    swapped[first : first + size], swapped[other : other + size] = (data[at : at + size] for at in (other, first))
    yield "two blocks swapped", bytes(swapped)
    if name in ("BMP", "TIFF"):
        stride = (3 * image.width + 3) // 4 * 4 if name == "BMP" else 3 * image.width
        start = 54 if name == "BMP" else Image.open(io.BytesIO(data)).tag_v2[273][0]
        yield "end zeroed from a row on", zeroed(start + int(image.height * rng.uniform(0.1, 0.95)) * stride, len(data))


def on_black(image: Image.Image, name: str, rng: np.random.Generator) -> Iterator[tuple[str, Image.Image]]:
    width, height = image.size
    bars, framed = image.copy(), image.copy()
    bars.paste(0, (0, 0, width, height // 6))
    bars.paste(0, (0, height - height // 6, width, height))
    ImageDraw.Draw(framed).rectangle((0, 0, width - 1, height - 1), outline=0, width=int(rng.integers(1, 20)))
    mask, padded = Image.new("L", image.size), image.copy()
    ImageDraw.Draw(mask).ellipse((width // 8, height // 8, width * 7 // 8, height * 15 // 16), fill=255)
    edge = (0, 0, width, height // 6) if name == "BMP" else (0, height - height // 6, width, height)
    padded.paste(0, edge)
    yield "letterboxed", bars
    yield "framed", framed
    yield "cut out", Image.composite(image, Image.new("RGB", image.size), mask)
    yield "turned", image.rotate(float(rng.uniform(-20, 20)), Image.Resampling.BILINEAR)
    yield "one bar at the file's end", padded


def cases(image: Image.Image, name: str, rng: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    data = stored(image, name)
    yield "whole", data
    yield from damages(data, image, name, rng)
    if name in ("BMP", "TIFF"):
        for kind, picture in on_black(image, name, rng):
            yield f"whole, {kind}", stored(picture, name)


def pixels_of(path: Path, data: bytes) -> np.ndarray | None:
    """None if the file is refused."""
    path.write_bytes(data)
    try:
        return read_image(path)
    except ImageError:
        return None


def is_changed(pixels: np.ndarray | None, whole: np.ndarray) -> bool:
    return pixels is not None and (pixels.shape != whole.shape or (pixels != whole).any(axis=2).mean() >= CHANGED)


def main() -> None:
    parser = script_parser(__doc__)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--every", type=int, default=12, help="take one face of so many (default %(default)s)")
    options = parser.parse_args()
    rng, rows = np.random.default_rng(0), []
    with tempfile.TemporaryDirectory() as folder:
        for face in tqdm(sorted(options.faces.iterdir())[:: options.every], disable=None):
            image = Image.open(face).convert("RGB")
            for name, (_, suffix, _) in FORMATS.items():
                path = Path(folder) / f"face.{suffix}"
                path.write_bytes(stored(image, name))
                whole = read_image(path)
                for kind, data in cases(image, name, rng):
                    pixels = pixels_of(path, data)
                    changed = not kind.startswith("whole") and is_changed(pixels, whole)
                    rows.append({"format": name, "file": kind, "refused": pixels is None, "changed": changed})
    grouped = pd.DataFrame(rows).groupby(["file", "format"], sort=False)
    table = grouped.agg(refused=("refused", "sum"), changed=("changed", "sum"), files=("refused", "count"))
    table.to_csv(RESULTS / "damaged_files.csv")
    texts = table.apply(lambda row: f"{row.refused}/{row.changed} of {row.files}", axis=1)
    print("refused/read with other pixels", texts.unstack(fill_value="").to_string(), sep="\n")


if __name__ == "__main__":
    main()
