"""Blocks of a file that are gone: refused in every format in which that can be told; flat pictures are not."""

import io

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


UNCHECKED = {"WEBP", "WEBP lossless", "WEBP lossless fast", "BMP", "TIFF", "TIFF packbits"}  # any bytes are pixels


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
def test_a_lost_end_that_begins_where_a_row_does_is_refused(tmp_path, kind):
    path = stored(tmp_path, kind, bright())
    whole = path.read_bytes()
    start, stride = rows_of(whole, 333)
    for begin in (start + 200 * stride, start + 200 * stride - 3, start + 300 * stride + 2):
        path.write_bytes(whole[:begin] + bytes(len(whole) - begin))
        with pytest.raises(ImageError, match="zeros"):
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
