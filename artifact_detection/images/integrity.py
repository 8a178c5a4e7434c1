"""Is an image file whole, and will it be decoded in bounded time? What no decoder says by itself.

PNG has a checksum a chunk. JPEG has none: its strict decoder notices data that come out of step, which a lost block
nearly always does. WebP has neither, but damaged data seldom end where the file does. What is left are blocks of
zeros (a hole in a file, a download that stopped in a file of full size): BMP and TIFF decoders take them for pixels.
"""

from collections.abc import Iterator

import numpy as np
from imagecodecs import deflate_crc32
from PIL import Image

from artifact_detection.images import jpeg, tiff, webp
from artifact_detection.images.damage import MAX_SIDE, SLACK, DamagedError
from artifact_detection.images.zeros import MIN_HOLE, PlainRows, zero_runs

MAX_SCANS = 100  # a progressive JPEG has about ten; thousands keep a decoder busy for minutes
MAX_SCANNED_PIXELS = 1_000_000_000
MAX_PARTS = 1000  # PNG chunks without pixels: Pillow reads a million of them for ten seconds
MAX_PIXEL_CHUNKS = 100_000
MAX_RUN_LENGTH_BYTES, MAX_RUN_LENGTH_PIXELS = 5_000_000, 10_000_000  # of a BMP: Pillow decodes them in Python
# Zero bytes in a row; more stand in compressed pixels only where the picture is flat. A lossless WebP made with least
# effort has some dozens now and then.
MIN_ZEROS = {b"JPEG": 64, webp.LOSSLESS: 256}
PIXELS_PER_ZERO = {b"JPEG": 50, webp.LOSSLESS: 2.6}  # flat pixels that a zero byte stands for, at the very least


def check_structure(format_: str, data: bytes) -> None:
    """Refuse what would be cut, damaged or endless for a reader of headers. Raises DamagedError."""
    if format_ == "PNG":
        _check_png(data)
    elif format_ == "JPEG":
        jpeg.first_scan(data)


def check_header(image: Image.Image, data: bytes, max_pixels: int) -> None:
    """Refuse from the header, before anything is decoded. Raises DamagedError."""
    if image.width * image.height > max_pixels or max(image.size) > MAX_SIDE:
        raise DamagedError(f"too large: {image.width}x{image.height} pixels")
    if getattr(image, "is_animated", False):
        raise DamagedError(f"animated: more than one {'page' if image.format == 'TIFF' else 'frame'}")
    scans = data.count(b"\xff\xda") if image.format == "JPEG" else 0
    if scans > MAX_SCANS or scans * image.width * image.height > MAX_SCANNED_PIXELS:
        raise DamagedError(f"too large: {scans} scans")
    in_runs = image.format == "BMP" and image.info.get("compression") in (1, 2)
    if in_runs and (len(data) > MAX_RUN_LENGTH_BYTES or image.width * image.height > MAX_RUN_LENGTH_PIXELS):
        raise DamagedError(f"too large: {image.width}x{image.height} pixels in run lengths, convert it to PNG")
    if image.format == "TIFF":
        tiff.check(image, data)


def check_zeros(image: Image.Image, data: bytes, pixels: np.ndarray) -> None:
    """Refuse zeros that stand for more than the decoded picture, (H, W, 3) uint8, can explain. Raises DamagedError."""
    if image.format in ("BMP", "TIFF"):
        for rows in (_plain_rows if image.format == "BMP" else tiff.plain_rows)(image, data):
            if zeros := rows.lost():
                raise DamagedError(f"unreadable: {zeros} bytes of its pixels are zeros")
    elif image.format in ("JPEG", "WEBP"):
        for kind, start, end in [(b"JPEG", *jpeg.scans(data))] if image.format == "JPEG" else webp.chunks(data):
            if kind == webp.LOSSY:
                continue  # `webp.check_end` finds them
            zeros = max((stop - first for first, stop in zero_runs(data, start, end, MIN_ZEROS[kind])), default=0)
            if zeros and zeros * PIXELS_PER_ZERO[kind] > _flat_pixels(kind, pixels):
                raise DamagedError(f"unreadable: {zeros} bytes of its pixels are zeros")


def _flat_pixels(kind: bytes, pixels: np.ndarray) -> int:
    """How many pixels of (H, W, 3) uint8 zeros may stand for: in a lossless WebP those that follow one another."""
    # A flat area repeats every 16 columns, as does a pattern whose blocks are all the same.
    if kind != webp.LOSSLESS:
        return np.count_nonzero((pixels[:, 16:] == pixels[:, :-16]).all(axis=2))
    # With the least effort a pixel is predicted from those to its left and above, and zeros say: as predicted.
    changes, line = np.ones(len(pixels) * len(pixels[0]), bool), pixels.reshape(-1, 3)
    changes[1:] = (line[1:] != line[:-1]).any(axis=1)
    changes[len(pixels[0]) :] &= (pixels[1:] != pixels[:-1]).any(axis=2).ravel()
    return np.diff(np.flatnonzero(changes), append=changes.size).max()


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(name, start, end) of each chunk of a PNG, length and checksum included; the end may lie behind the file's."""
    start = 8
    while start + 8 <= len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        yield data[start + 4 : start + 8], start, end
        start = end


def _check_png(data: bytes) -> None:
    """Every chunk is there and matches its checksum; there are not too many, nor far more data than pixels."""
    view, others, pixels, room = memoryview(data), 0, 0, _png_bytes(data)
    for name, start, end in png_chunks(data):
        if end > len(data):
            break
        # libdeflate's CRC-32 is fifty times as fast as zlib's, so that all of it costs a hundredth of the decoding.
        if deflate_crc32(view[start + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise DamagedError(f"unreadable: the checksum of its chunk {name!r} is wrong")
        if name == b"IEND":
            return
        if name == b"IDAT":
            pixels, room = pixels + 1, room - (end - start)
        else:
            others += 1
        if others > MAX_PARTS or pixels > MAX_PIXEL_CHUNKS:
            raise DamagedError("too large: it is cut into too many chunks")
        if room < 0:
            raise DamagedError("unreadable: its data go on after the last pixel")
    raise DamagedError("truncated: the end of the file is missing")


def _png_bytes(data: bytes) -> int:
    """The bytes that the pixels of a PNG may take: twice what they would uncompressed."""
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    return 2 * height * (width * 8 + 1) + SLACK  # at most 64 bits a pixel


def _plain_rows(image: Image.Image, data: bytes) -> Iterator[PlainRows]:
    """The uncompressed rows of a BMP."""
    if image.info.get("compression") not in (1, 2):
        bits_at = 24 if data[14] == 12 else 28  # the header of OS/2 is shorter
        bits, start = (int.from_bytes(data[at : at + size], "little") for at, size in ((bits_at, 2), (10, 4)))
        stride = (image.width * bits + 31) // 32 * 4
        used = 0.75 if bits == 32 and image.mode == "RGB" else 1.0
        yield PlainRows(data, start, start + stride * image.height, stride, min(stride, MIN_HOLE), used)
