"""Blocks of a file that are gone: refused in every format in which that can be told; flat pictures are not."""

import io
import struct
from contextlib import nullcontext

import numpy as np
import pytest
from PIL import Image, ImageDraw

from artifact_detection.images.decoding import ImageError, read_image
from tests.images.test_decoding import encoded

FILES = {
    "JPEG": {},
    "JPEG optimize": {"optimize": True},
    "JPEG progressive": {"progressive": True},
    "WEBP": {},
    "WEBP lossless": {"lossless": True},
    "WEBP lossless fast": {"lossless": True, "method": 0, "quality": 0},
    "BMP": {},
    "TIFF": {},
    "TIFF tiff_lzw": {"compression": "tiff_lzw"},
    "TIFF tiff_adobe_deflate": {"compression": "tiff_adobe_deflate"},
    "TIFF lzma": {"compression": "lzma"},
    "TIFF packbits": {"compression": "packbits"},
    "TIFF jpeg": {"compression": "jpeg"},
    "PNG": {},
}
SUFFIXES = {"JPEG": "jpg", "WEBP": "webp", "BMP": "bmp", "TIFF": "tif", "PNG": "png"}


def bright() -> Image.Image:
    """No black pixel, texture everywhere; its width is no multiple of anything."""
    noise = np.random.default_rng(0).integers(-40, 40, (341, 333, 3))
    return Image.fromarray((140 + noise + np.arange(333)[:, None] // 6).astype(np.uint8))


def stored(folder, kind: str, image: Image.Image):
    format_ = kind.split()[0]
    path = folder / f"a.{SUFFIXES[format_]}"
    path.write_bytes(encoded(format_, image, **FILES[kind]))
    return path


@pytest.mark.parametrize("kind", FILES)
def test_zeroed_block_and_zeroed_tail_are_refused(tmp_path, kind, capfd):
    path = stored(tmp_path, kind, bright())
    whole = path.read_bytes()
    assert read_image(path).shape == (341, 333, 3)
    for start in range(len(whole) // 7, len(whole) - 4096, len(whole) // 5):
        for block in (bytes(4096), bytes(len(whole) - start)):
            path.write_bytes(whole[:start] + block + whole[start + len(block) :])
            with pytest.raises(ImageError, match=r"unreadable|truncated"):
                read_image(path)
    assert capfd.readouterr().err == ""


UNCHECKED = {"BMP", "TIFF", "TIFF packbits"}  # any bytes are pixels


@pytest.mark.parametrize("kind", sorted(FILES.keys() - UNCHECKED))
def test_overwritten_bytes_are_refused_where_a_decoder_can_tell(tmp_path, kind):
    path = stored(tmp_path, kind, bright())
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4096] = np.random.default_rng(1).bytes(4096)
    path.write_bytes(data)
    with pytest.raises(ImageError):
        read_image(path)


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("colour", ["black", "white", (77, 120, 9)])
def test_flat_pictures_and_black_bars_are_whole(tmp_path, kind, colour):
    flat = Image.new("RGB", (600, 500), colour)
    flat.paste(bright().resize((600, 300)), (0, 100))
    for image in (flat, Image.new("RGB", (1024, 1024), colour)):
        assert read_image(stored(tmp_path, kind, image)).shape[2] == 3


def rows_of(data: bytes, width: int) -> tuple[int, int]:
    """Where the rows of an uncompressed file of 24 bits a pixel begin, and how long they are."""
    if data.startswith(b"BM"):
        return 54, (3 * width + 3) // 4 * 4
    return Image.open(io.BytesIO(data)).tag_v2[273][0], 3 * width


@pytest.mark.parametrize("kind", ["BMP", "TIFF"])
def test_a_lost_end_is_refused_and_a_black_bar_at_the_end_of_the_file_is_not(tmp_path, kind):
    path = stored(tmp_path, kind, bright())
    whole = path.read_bytes()
    start, stride = rows_of(whole, 333)
    for begin, is_bar in ((200 * stride, True), (200 * stride + 30, False), (300 * stride - 30, False)):
        path.write_bytes(whole[: start + begin] + bytes(len(whole) - start - begin))
        with nullcontext() if is_bar else pytest.raises(ImageError, match="zeros"):
            read_image(path)


def tiled(pixels: np.ndarray, side: int) -> bytes:
    """(H, W, 3) uint8 as an uncompressed TIFF of tiles."""
    height, width = pixels.shape[:2]
    padded = np.pad(pixels, ((0, -height % side), (0, -width % side), (0, 0)))
    tiles = [
        padded[y : y + side, x : x + side].tobytes() for y in range(0, height, side) for x in range(0, width, side)
    ]
    return tiff(pixels, tiles, {322: side, 323: side}, (324, 325))


def tiff(pixels: np.ndarray, parts: list[bytes], tags: dict[int, int], lists: tuple[int, int], gap: int = 0) -> bytes:
    """A TIFF of these parts, with `gap` bytes after each; lists: the tags of where they begin and how long they are."""
    starts = 8 + np.cumsum([0, *(len(part) + gap for part in parts[:-1])])
    end = 8 + sum(len(part) + gap for part in parts)
    tags = {256: pixels.shape[1], 257: pixels.shape[0], 259: 1, 262: 2, 277: 3} | tags
    at, entries = end + 2 + 12 * (len(tags) + 3) + 4, {tag: (4, 1, value) for tag, value in tags.items()}
    entries |= {258: (3, 3, at), lists[0]: (4, len(parts), at + 8), lists[1]: (4, len(parts), at + 8 + 4 * len(parts))}
    rows = b"".join(struct.pack("<HHII", tag, *entries[tag]) for tag in sorted(entries))
    values = struct.pack("<4H", 8, 8, 8, 0) + np.array([*starts, *map(len, parts)], "<u4").tobytes()
    body = b"".join(part + bytes(gap) for part in parts)
    return b"II*\0" + struct.pack("<I", end) + body + struct.pack("<H", len(entries)) + rows + bytes(4) + values


def test_a_hole_in_a_tile_is_found_and_padding_is_none(tmp_path):
    path, pixels = tmp_path / "a.tif", np.array(bright())
    whole = tiled(pixels, 128)
    path.write_bytes(whole)
    assert (read_image(path) == pixels).all()
    path.write_bytes(whole[:20_000] + bytes(5000) + whole[25_000:])
    with pytest.raises(ImageError, match="zeros"):
        read_image(path)


def test_strips_with_something_between_them_are_read_as_rows(tmp_path):
    path, pixels = tmp_path / "a.tif", np.array(bright())
    pixels[300:] = 0
    strips = [pixels[y : y + 10].tobytes() for y in range(0, 341, 10)]
    path.write_bytes(whole := tiff(pixels, strips, {278: 10}, (273, 279), gap=1000))
    assert (read_image(path) == pixels).all()
    path.write_bytes(whole[:-4] + bytes(4))
    with pytest.raises(ImageError, match="has no bytes"):
        read_image(path)


@pytest.mark.parametrize("kind", ["BMP", "TIFF"])
@pytest.mark.parametrize("width", [333, 3000])
def test_a_hole_is_found_among_dark_pixels_and_in_rows_that_are_longer(tmp_path, kind, width):
    pixels = np.array(bright().resize((width, 341)))
    pixels[:, 20 : width // 3] = 0  # a black coat
    path = stored(tmp_path, kind, Image.fromarray(pixels))
    whole = path.read_bytes()
    start, stride = rows_of(whole, width)
    hole = start + 100 * stride + stride // 2
    path.write_bytes(whole[:hole] + bytes(4096) + whole[hole + 4096 :])
    with pytest.raises(ImageError, match="zeros"):
        read_image(path)


@pytest.mark.parametrize("kind", ["BMP", "TIFF"])
def test_black_frames_shapes_and_tilted_corners_are_whole(tmp_path, kind):
    framed, masked = bright().resize((1600, 400)), Image.new("RGB", (333, 341))
    ImageDraw.Draw(framed).rectangle([0, 0, 1599, 399], outline=0)
    mask = Image.new("L", masked.size)
    ImageDraw.Draw(mask).ellipse([20, 20, 310, 280], fill=255)
    masked.paste(bright(), mask=mask)
    for image in (framed, masked, bright().rotate(1.5), bright().rotate(30)):
        assert read_image(stored(tmp_path, kind, image)).shape[2] == 3


def odd_header(data: bytes, what: str) -> bytes:
    """A JPEG with something in its header that decoders only remark on."""
    scan, jfif = data.index(b"\xff\xda"), data.find(b"JFIF\0")
    if what == "version":
        return data[: jfif + 5] + b"\2\1" + data[jfif + 7 :]
    if what == "scan":
        after = scan + 5 + 2 * data[scan + 4]
        return data[:after] + b"\1\5\0" + data[after + 3 :]
    return data[:2] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\7" + data[2:]


@pytest.mark.parametrize("what", ["version", "scan", "adobe"])
def test_a_remark_on_the_header_hides_no_damage(tmp_path, what):
    data = odd_header(encoded("JPEG", bright()), what)
    (tmp_path / "a.jpg").write_bytes(data)
    expected = np.asarray(Image.open(tmp_path / "a.jpg").convert("RGB")).astype(int)
    assert np.abs(read_image(tmp_path / "a.jpg") - expected).max() <= 1
    middle = len(data) // 2
    (tmp_path / "a.jpg").write_bytes(data[:middle] + bytes(64) + data[middle + 64 :])
    with pytest.raises(ImageError):
        read_image(tmp_path / "a.jpg")


def test_a_webp_that_is_out_of_step_is_refused(tmp_path):
    path = stored(tmp_path, "WEBP", bright())
    whole, refused = path.read_bytes(), 0
    for at in np.linspace(1000, len(whole) - 1000, 40).astype(int):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        try:
            read_image(path)
        except ImageError:
            refused += 1
    assert refused >= 35


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_bits_in_the_other_order_are_read(tmp_path, compression):
    bright().save(tmp_path / "a.tif", compression=compression, tiffinfo={266: 2})
    assert Image.open(tmp_path / "a.tif").tag_v2[266] == 2
    assert (read_image(tmp_path / "a.tif") == np.asarray(bright())).all()
