"""Is an image file whole, and will it be decoded in bounded time? What no decoder says by itself.

PNG has a checksum a chunk. JPEG has none: its strict decoder notices data that come out of step, which a lost block
nearly always does. What is left are blocks of zeros (a hole in a file, a download that stopped in a file of full
size): WebP, BMP and TIFF decoders take them for pixels.
"""

import math
import zlib
from collections.abc import Iterator

import numpy as np
from imagecodecs import PackbitsError, TiffError, deflate_crc32, packbits_decode, tiff_decode
from PIL import Image
from simplejpeg import decode_jpeg

from artifact_detection.images import jpeg
from artifact_detection.images.damage import DamagedError
from artifact_detection.images.zeros import PlainRows, zero_runs

MAX_SIDE = 65_535  # pixels, as in JPEG; OpenCV's resizing and the decoders' buffers are made for such
MAX_SCANS = 100  # a progressive JPEG has about ten; thousands keep a decoder busy for minutes
MAX_SCANNED_PIXELS = 1_000_000_000
MAX_PARTS = 1000  # PNG chunks without pixels: Pillow reads a million of them for ten seconds
MAX_PIXEL_CHUNKS = 100_000
MAX_RUN_LENGTH_BYTES, MAX_RUN_LENGTH_PIXELS = 5_000_000, 10_000_000  # of a BMP: Pillow decodes them in Python
SLACK = 65_536  # bytes that compressed data may take or give more than the pixels themselves
# Zero bytes in a row; more stand in compressed pixels only where the picture is flat. A lossless WebP made with least
# effort has some dozens now and then.
MIN_ZEROS = {b"JPEG": 64, b"VP8 ": 64, b"VP8L": 256}
MIN_PACKED_ZEROS = 256
PIXELS_PER_ZERO = {
    b"JPEG": 50,
    b"VP8 ": 150,
    b"VP8L": 2.6,
}  # flat pixels that a zero byte stands for, at the very least
_COMPRESSION, _STRIPS, _STRIP_SIZES, _TILES, _TILE_SIZES, _JPEG_TABLES = 259, 273, 279, 324, 325, 347
_TILE_SIDES, _BITS, _SAMPLES, _ROWS, _PLANAR, _PHOTOMETRIC = (322, 323), 258, 277, 278, 284, 262
_DEFLATE, _JPEG, _PACKBITS, _WEBP, _FAX = (8, 32946), 7, 32773, 50001, (2, 3, 4)


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
        _check_tiff(image, data)


def check_zeros(image: Image.Image, data: bytes, pixels: np.ndarray) -> None:
    """Refuse zeros that stand for more than the decoded picture, (H, W, 3) uint8, can explain. Raises DamagedError."""
    if image.format in ("BMP", "TIFF"):
        rows = _plain_rows(image, data)
        if rows and (zeros := rows.lost()):
            raise DamagedError(f"unreadable: {zeros} bytes of its pixels are zeros")
    elif image.format in ("JPEG", "WEBP"):
        for kind, start, end in [(b"JPEG", *jpeg.scans(data))] if image.format == "JPEG" else _webp_chunks(data):
            zeros = max((stop - first for first, stop in zero_runs(data, start, end, MIN_ZEROS[kind])), default=0)
            if zeros and zeros * PIXELS_PER_ZERO[kind] > _flat_pixels(kind, pixels):
                raise DamagedError(f"unreadable: {zeros} bytes of its pixels are zeros")


def _flat_pixels(kind: bytes, pixels: np.ndarray) -> int:
    """How many pixels of (H, W, 3) uint8 zeros may stand for: in a lossless WebP those that follow one another."""
    # A flat area repeats every 16 columns, as does a pattern whose blocks are all the same.
    if kind != b"VP8L":
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


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(name, start, end) of the chunks of a WebP that hold its pixels."""
    start = 12
    while start + 8 <= len(data):
        name, end = data[start : start + 4], start + 8 + int.from_bytes(data[start + 4 : start + 8], "little")
        if name in PIXELS_PER_ZERO:
            yield name, start + 8, end
        start = end + end % 2


def _check_tiff(image: Image.Image, data: bytes) -> None:
    """Decode a compressed TIFF as strictly as can be: Pillow's libtiff prints errors, and looks at no checksum."""
    compression = image.tag_v2.get(_COMPRESSION, 1)
    if compression == 1:
        return
    if compression == _WEBP or compression in _FAX:  # of those no decoder at hand says that they are damaged
        kind = "WebP" if compression == _WEBP else "fax compression"
        raise DamagedError(f"unreadable: {kind} inside a TIFF is not read, convert it to PNG")
    if 0 in image.tag_v2:  # no such tag, and libtiff would print that
        raise DamagedError("unreadable: its header is damaged")
    try:
        tiff_decode(data)
    except TiffError as error:
        raise DamagedError(f"unreadable: {error}") from error
    except (ValueError, NotImplementedError):  # a layout that only Pillow knows
        pass
    tile = (min(image.tag_v2.get(tag, 0), MAX_SIDE) for tag in _TILE_SIDES)  # the last ones reach over the edges
    room = 2 * 8 * math.prod(sum(sides) for sides in zip(image.size, tile, strict=True)) + SLACK
    for part in _tiff_parts(image, data):
        if compression in _DEFLATE:
            room -= _check_deflate(part, room)
        elif compression == _JPEG:
            tables = bytes(image.tag_v2.get(_JPEG_TABLES, b"\xff\xd8\xff\xd9"))
            _check_jpeg_part(tables[:-2] + part[2:])
        elif compression == _PACKBITS:
            _check_packbits(part, image)


def _tiff_parts(image: Image.Image, data: bytes) -> Iterator[bytes]:
    """The strips or tiles of a TIFF."""
    tags = image.tag_v2
    starts, sizes = (_STRIPS, _STRIP_SIZES) if _STRIPS in tags else (_TILES, _TILE_SIZES)
    for start, size in zip(tags.get(starts, ()), tags.get(sizes, ()), strict=False):
        yield data[start : start + size]


def _check_deflate(part: bytes, room: int) -> int:
    """How many bytes it holds; the stream must end, with the right checksum, before there are more than `room`."""
    stream, size = zlib.decompressobj(), 0
    try:
        for start in range(0, len(part), 1 << 16):  # at most 64 MB at a time, whatever it holds
            size += len(stream.decompress(part[start : start + (1 << 16)]))
            if size > room:
                break
    except zlib.error as error:
        raise DamagedError(f"unreadable: {error}") from error
    if not stream.eof:
        raise DamagedError("unreadable: a strip has no end")
    return size


def _check_packbits(part: bytes, image: Image.Image) -> None:
    """It must hold whole rows, and no zeros: packed, they take a few bytes."""
    tags = image.tag_v2
    row = _bytes_of_row(image, min(tags.get(_TILE_SIDES[0], image.width), MAX_SIDE))
    rows = min(tags.get(_TILE_SIDES[1], tags.get(_ROWS, image.height)), MAX_SIDE)
    try:
        size = len(packbits_decode(part, out=min(row * rows, 64 * len(part))))  # it makes 128 bytes of 2 at most
    except PackbitsError as error:
        raise DamagedError(f"unreadable: {error}") from error
    if size % row or bytes(MIN_PACKED_ZEROS) in part:
        raise DamagedError("unreadable: a strip holds no whole rows")


def _check_jpeg_part(part: bytes) -> None:
    for colours in ("RGB", "CMYK"):
        try:
            decode_jpeg(part, colorspace=colours)
            return
        except ValueError as error:
            if "color conversion" not in str(error):
                raise DamagedError(f"unreadable: {error}") from error


def _plain_rows(image: Image.Image, data: bytes) -> PlainRows | None:
    """Where the uncompressed rows of a BMP or TIFF are; None if it has none."""
    if image.format == "BMP":
        if image.info.get("compression") in (1, 2):
            return None
        bits_at = 24 if data[14] == 12 else 28  # the header of OS/2 is shorter
        bits, start = (int.from_bytes(data[at : at + size], "little") for at, size in ((bits_at, 2), (10, 4)))
        stride = (image.width * bits + 31) // 32 * 4
        used = 0.75 if bits == 32 and image.mode == "RGB" else 1.0
        return PlainRows(data, start, start + stride * image.height, stride, image.mode in ("RGB", "RGBA"), used)
    if image.tag_v2.get(_COMPRESSION, 1) != 1 or not image.tag_v2.get(_STRIPS):
        return None
    starts, sizes = image.tag_v2[_STRIPS], image.tag_v2.get(_STRIP_SIZES, (len(data),))
    end = max(start + size for start, size in zip(starts, sizes, strict=False))
    is_black_zero = image.tag_v2.get(_PHOTOMETRIC) in (1, 2)
    return PlainRows(data, min(starts), min(end, len(data)), _bytes_of_row(image, image.width), is_black_zero)


def _bytes_of_row(image: Image.Image, width: int) -> int:
    """The bytes of a row of a TIFF's strip, or of a tile that is `width` pixels wide."""
    samples = 1 if image.tag_v2.get(_PLANAR) == 2 else image.tag_v2.get(_SAMPLES, 1)
    return (width * image.tag_v2.get(_BITS, (1,))[0] * samples + 7) // 8
