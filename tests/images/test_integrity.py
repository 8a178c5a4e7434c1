"""Blocks of a file that are gone: refused in every format in which that can be told; flat pictures are not."""

import numpy as np
import pytest
from PIL import Image

from artifact_detection.images.decoding import ImageError, read_image
from tests.images.test_decoding import encoded

FILES = {
    "JPEG": {},
    "JPEG optimize": {"optimize": True},
    "JPEG progressive": {"progressive": True},
    "WEBP": {},
    "WEBP lossless": {"lossless": True},
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


UNCHECKED = {"WEBP", "WEBP lossless", "BMP", "TIFF", "TIFF packbits"}  # no checksum, and any bytes are pixels


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
