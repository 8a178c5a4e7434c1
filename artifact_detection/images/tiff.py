"""Is a TIFF whole? Its strips or tiles are decoded as strictly as can be: Pillow's libtiff prints errors, and looks at
no checksum."""

import lzma
import math
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise

from imagecodecs import LzwError, PackbitsError, TiffError, lzw_decode, packbits_decode, tiff_decode
from PIL import Image
from simplejpeg import decode_jpeg

from artifact_detection.images.damage import MAX_SIDE, SLACK, DamagedError
from artifact_detection.images.zeros import MIN_HOLE, PlainRows

COMPRESSION, STRIPS, STRIP_SIZES, TILES, TILE_SIZES, JPEG_TABLES = 259, 273, 279, 324, 325, 347
TILE_SIDES, BITS, SAMPLES, ROWS, PLANAR, PHOTOMETRIC, FILL_ORDER = (322, 323), 258, 277, 278, 284, 262, 266
LZW, JPEG, PACKBITS, WEBP, FAX = 5, 7, 32773, 50001, (2, 3, 4)
YCBCR = 6  # its rows may be subsampled
MIN_PACKED_ZEROS = 256
STREAMS = {8: zlib.decompressobj, 32946: zlib.decompressobj, 34925: lzma.LZMADecompressor}
STEP = 4096  # bytes of a stream at a time: they hold 30 MB at most
BY_BYTES = {PACKBITS: (packbits_decode, 64), LZW: (lzw_decode, 4096)}  # and how many bytes one may stand for
BITS_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def check(image: Image.Image, data: bytes) -> None:
    """Raises DamagedError if a compressed TIFF is damaged, or of a kind that no decoder at hand would find damaged."""
    compression = image.tag_v2.get(COMPRESSION, 1)
    if compression == 1:
        return
    if compression == WEBP or compression in FAX:
        kind = "WebP" if compression == WEBP else "fax compression"
        raise DamagedError(f"unreadable: {kind} inside a TIFF is not read, convert it to PNG")
    if 0 in image.tag_v2:  # no such tag, and libtiff would print that
        raise DamagedError("unreadable: its header is damaged")
    try:
        tiff_decode(data)
    except TiffError as error:
        raise DamagedError(f"unreadable: {error}") from error
    except (ValueError, NotImplementedError):  # a layout that only Pillow knows
        pass
    tile = (min(image.tag_v2.get(tag, 0), MAX_SIDE) for tag in TILE_SIDES)  # the last ones reach over the edges
    room = 2 * 8 * math.prod(sum(sides) for sides in zip(image.size, tile, strict=True)) + SLACK
    is_reversed = image.tag_v2.get(FILL_ORDER) == 2 and compression != JPEG
    for start, stop in _parts(image, data):
        part = data[start:stop].translate(BITS_REVERSED if is_reversed else None)
        if compression in STREAMS:
            room -= _check_stream(part, STREAMS[compression](), room)
        elif compression == JPEG:
            tables = bytes(image.tag_v2.get(JPEG_TABLES, b"\xff\xd8\xff\xd9"))
            _check_jpeg_part(tables[:-2] + part[2:])
        elif compression in BY_BYTES and image.tag_v2.get(PHOTOMETRIC) != YCBCR:  # whose rows may be subsampled
            _check_bytes(part, image, *BY_BYTES[compression])


def _parts(image: Image.Image, data: bytes) -> list[tuple[int, int]]:
    """Where the strips or tiles of a TIFF begin and end. Raises DamagedError if one is empty."""
    tags = image.tag_v2
    starts, sizes = (STRIPS, STRIP_SIZES) if STRIPS in tags else (TILES, TILE_SIZES)
    parts = zip(tags.get(starts, ()), tags.get(sizes, ()), strict=False)
    parts = [(start, min(start + size, len(data))) for start, size in parts]
    if any(start >= stop for start, stop in parts):
        raise DamagedError("unreadable: one of its strips has no bytes")
    return parts


def _check_stream(part: bytes, stream, room: int) -> int:
    """How many bytes it holds; the stream must end, with the right checksum, before there are more than `room`."""
    size = 0
    try:
        for start in range(0, len(part), STEP):
            size += len(stream.decompress(part[start : start + STEP]))
            if stream.eof or size > room:
                break
    except (zlib.error, lzma.LZMAError) as error:
        raise DamagedError(f"unreadable: {error}") from error
    if not stream.eof:
        raise DamagedError("unreadable: a strip has no end")
    return size


def _check_bytes(part: bytes, image: Image.Image, decode: Callable[..., bytes], most: int) -> None:
    """It must hold whole rows, and no zeros: packed, they take a few bytes. most: bytes that one byte may stand for."""
    tags = image.tag_v2
    row = _bytes_of_row(image, min(tags.get(TILE_SIDES[0], image.width), MAX_SIDE))
    rows = min(tags.get(TILE_SIDES[1], tags.get(ROWS, image.height)), MAX_SIDE)
    try:
        size = len(decode(part, out=min(row * (rows + 1), most * len(part))))
    except (PackbitsError, LzwError) as error:
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


def plain_rows(image: Image.Image, data: bytes) -> Iterator[PlainRows]:
    """The uncompressed rows: all in one, or those of each tile."""
    if image.tag_v2.get(COMPRESSION, 1) != 1:
        return
    parts, tile = _parts(image, data), image.tag_v2.get(TILE_SIDES[0])
    stride = _bytes_of_row(image, tile or image.width)
    if not tile and any(stop != after for (_, stop), (after, _) in pairwise(parts)):  # there is something between them
        data = b"".join(data[start:stop] for start, stop in parts)
        parts = [(0, len(data))]
    elif not tile:
        parts = [(parts[0][0], parts[-1][1])] if parts else []
    for start, stop in parts:
        yield PlainRows(data, start, stop, stride, MIN_HOLE if tile else min(stride, MIN_HOLE))


def _bytes_of_row(image: Image.Image, width: int) -> int:
    """The bytes of a row of a TIFF's strip, or of a tile that is `width` pixels wide."""
    samples = 1 if image.tag_v2.get(PLANAR) == 2 else image.tag_v2.get(SAMPLES, 1)
    return (width * image.tag_v2.get(BITS, (1,))[0] * samples + 7) // 8
