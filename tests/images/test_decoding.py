"""The decoder: the same pixels as Pillow for every mode, one typed error for every bad file, in bounded memory."""

import io
import os
import pickle
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from imagecodecs import jpeg8_encode, jpegls_encode
from PIL import Image, ImageOps, PngImagePlugin, TiffImagePlugin

from artifact_detection.images.decoding import ImageError, decode_file, read_image, upright_size

PROJECT = Path(__file__).resolve().parents[2]


def picture(height: int = 48, width: int = 64) -> Image.Image:
    """Gradients with noise: no symmetry, every channel different."""
    rows, columns = np.mgrid[:height, :width]
    clean = np.stack([3 * rows, 2 * columns, rows + 2 * columns], axis=-1)
    noise = np.random.default_rng(0).integers(0, 30, clean.shape)
    return Image.fromarray(np.clip(clean + noise, 0, 255).astype(np.uint8))


def in_mode(mode: str) -> Image.Image:
    image = picture().convert(mode)
    if mode in ("LA", "RGBA"):
        image.putalpha(picture().convert("L"))
    return image


def oriented(orientation: int) -> dict:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return {"exif": exif}


CASES = [
    *(
        (f"{mode}.{suffix}", mode, {})
        for mode in ("1", "L", "LA", "P", "RGB", "RGBA")
        for suffix in ("png", "tif", "webp")
    ),
    *((f"{mode}.bmp", mode, {}) for mode in ("1", "L", "P", "RGB")),
    *((f"{mode}.jpg", mode, {"quality": 90}) for mode in ("1", "L", "RGB", "CMYK", "YCbCr")),
    *((f"{mode}.tiff", mode, {"compression": "tiff_lzw"}) for mode in ("L", "RGB", "CMYK", "YCbCr", "LAB")),
    *((f"turned{n}.{suffix}", "RGB", oriented(n)) for n in range(1, 9) for suffix in ("jpg", "png")),
    *((f"turned{n}.{suffix}", "RGB", oriented(n)) for n in (3, 6) for suffix in ("webp", "tif")),
    ("transparent.png", "P", {"transparency": 3}),
    ("transparent colour.png", "RGB", {"transparency": (3, 2, 1)}),
    ("gamma.png", "RGB", {"gamma": 0.45}),
    ("progressive.jpeg", "RGB", {"progressive": True}),
    ("subsampled.jpg", "RGB", {"subsampling": 2, "quality": 60}),
    ("lossless.webp", "RGB", {"lossless": True}),
]


@pytest.mark.parametrize(("name", "mode", "options"), CASES, ids=[case[0] for case in CASES])
def test_pixels_are_those_of_pillow(tmp_path, name, mode, options):
    in_mode(mode).save(tmp_path / name, **options)
    with Image.open(tmp_path / name) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB")).astype(int)
    pixels = read_image(tmp_path / name)
    assert upright_size(tmp_path / name) == pixels.shape[:2]
    assert pixels.dtype == np.uint8
    assert pixels.shape == expected.shape
    assert np.abs(pixels - expected).max() <= 1


def test_there_are_at_least_forty_cases():
    assert len(CASES) >= 40


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_keeps_its_high_byte(tmp_path, suffix):
    values = np.arange(0, 65536, 65, dtype=np.uint16).reshape(-1, 1)
    Image.fromarray(values).save(tmp_path / f"deep.{suffix}")
    assert (read_image(tmp_path / f"deep.{suffix}") == (values >> 8)[..., None]).all()


def test_16_bit_colour_keeps_its_high_byte(tmp_path):
    values = np.array([[[0x12FF, 0x8000, 0xFF01]]], dtype=">u2")
    (tmp_path / "deep.png").write_bytes(png(1, 1, b"\0" + values.tobytes(), depth=16))
    assert read_image(tmp_path / "deep.png").tolist() == [[[0x12, 0x80, 0xFF]]]


def test_signed_16_bit_grey_has_its_zero_in_the_middle(tmp_path):
    values = np.arange(-32768, 32768, 65, dtype=np.int16).reshape(-1, 1)
    (tmp_path / "deep.tif").write_bytes(signed_tiff(values))
    assert (read_image(tmp_path / "deep.tif") == (values.astype(int) + 32768 >> 8)[..., None]).all()


def signed_tiff(values: np.ndarray) -> bytes:
    """(H, W) int16 as a TIFF: Pillow writes only the unsigned ones, so its sample format is set here."""
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[339] = 2
    return encoded("TIFF", Image.fromarray(values.view(np.uint16)), tiffinfo=info)


def big_endian_bigtiff(pixels: np.ndarray) -> bytes:
    """(H, W) or (H, W, 3) unsigned, as no library here writes it."""
    (height, width), samples, bits = pixels.shape[:2], pixels.shape[2:] or (1,), 8 * pixels.itemsize
    raw = pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()
    tags = {256: width, 257: height, 259: 1, 262: 2 if samples == (3,) else 1, 277: samples[0], 278: height}
    entries = {tag: struct.pack(">HHQH6x", tag, 3, 1, value) for tag, value in tags.items()}
    entries[258] = struct.pack(f">HHQ{samples[0]}H{8 - 2 * samples[0]}x", 258, 3, *samples, *[bits] * samples[0])
    entries[273] = struct.pack(">HHQQ", 273, 16, 1, 32 + 20 * 9)
    entries[279] = struct.pack(">HHQQ", 279, 16, 1, len(raw))
    return (
        b"MM\0+"
        + struct.pack(">HHQQ", 8, 0, 16, 9)
        + b"".join(entries[tag] for tag in sorted(entries))
        + bytes(8)
        + raw
    )


def test_big_endian_bigtiff_is_read(tmp_path):
    pixels = np.asarray(picture())
    grey = np.arange(0, 65536, 65, dtype=np.uint16).reshape(-1, 1)
    (tmp_path / "a.tif").write_bytes(big_endian_bigtiff(pixels))
    (tmp_path / "b.tif").write_bytes(big_endian_bigtiff(grey))
    (tmp_path / "c.tif").write_bytes(big_endian_bigtiff(pixels)[:-3000])
    (tmp_path / "d.tif").write_bytes(big_endian_bigtiff(pixels.astype(np.uint32)))
    assert (read_image(tmp_path / "a.tif") == pixels).all()
    assert (read_image(tmp_path / "b.tif") == (grey >> 8)[..., None]).all()
    for name in "cd":
        with pytest.raises(ImageError, match=r"truncated|unreadable"):
            read_image(tmp_path / f"{name}.tif")


def test_bigtiff_and_lossless_jpeg_are_read(tmp_path):
    picture().save(tmp_path / "big.tif", big_tiff=True)
    (tmp_path / "lossless.jpg").write_bytes(jpeg8_encode(np.asarray(picture()), lossless=True))
    (tmp_path / "grey.jpg").write_bytes(jpeg8_encode(np.asarray(picture().convert("L")), lossless=True))
    for name in ("big.tif", "lossless.jpg"):
        assert (read_image(tmp_path / name) == np.asarray(picture())).all()
    assert (read_image(tmp_path / "grey.jpg")[..., 0] == np.asarray(picture().convert("L"))).all()


def test_a_long_text_in_a_png_is_no_reason_to_refuse_it(tmp_path):
    workflow = PngImagePlugin.PngInfo()
    workflow.add_text("workflow", "{}" * 2_000_000, zip=True)
    picture().save(tmp_path / "a.png", pnginfo=workflow)
    assert (read_image(tmp_path / "a.png") == np.asarray(picture())).all()


def test_decoded_file_says_what_it_was(tmp_path):
    in_mode("RGBA").save(tmp_path / "a.png")
    decoded = decode_file(tmp_path / "a.png")
    assert (decoded.format, decoded.mode, decoded.data) == ("PNG", "RGBA", (tmp_path / "a.png").read_bytes())


def test_a_name_without_suffix_is_decoded_by_content(tmp_path):
    picture().save(tmp_path / "upload", format="PNG")
    assert (read_image(tmp_path / "upload") == np.asarray(picture())).all()


def test_many_threads_decode_the_same(tmp_path):
    for name in ("a.png", "b.jpg", "c.webp"):
        picture().save(tmp_path / name)
    paths = [tmp_path / name for name in ("a.png", "b.jpg", "c.webp")] * 20
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(read_image, paths))
    assert all((result == results[i % 3]).all() for i, result in enumerate(results))


def encoded(format_: str, image: Image.Image | None = None, **options) -> bytes:
    buffer = io.BytesIO()
    (image or picture(256, 256)).save(buffer, format_, **options)
    return buffer.getvalue()


def png(width: int, height: int, raw: bytes, depth: int = 8, before: bytes = b"") -> bytes:
    """A PNG whose header says this size, whatever its image data hold."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + before + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def animation(format_: str) -> bytes:
    return encoded(format_, save_all=True, append_images=[picture(256, 256).rotate(90)])


def damaged(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(byte ^ 0xFF for byte in data[middle : middle + 8]) + data[middle + 8 :]


def huge_webp() -> bytes:
    data = bytearray(encoded("WEBP", lossless=True))
    at = data.index(b"VP8L") + 9
    data[at : at + 4] = struct.pack("<I", 16382 | 16382 << 14)
    return bytes(data)


def many_scans() -> bytes:
    data = encoded("JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * 3000 + b"\xff\xd9"


def run_length_bmp(width: int, height: int) -> bytes:
    """A pixel in each row, then "end of line": Pillow fills the rest one by one."""
    rows, header = b"\1\1\0\0" * height + b"\0\1", 14 + 40 + 1024
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(rows), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", header + len(rows), 0, 0, header) + info + bytes(1024) + rows


def huge_text() -> bytes:
    return chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(50_000_000)))


HOSTILE = {
    "empty.png": (b"", "empty"),
    "text.jpg": (b"<html>not found</html>", "not an image"),
    "cut.png": (encoded("PNG")[:-2000], "truncated"),
    "cut.jpg": (encoded("JPEG")[:-2000], "truncated"),
    "endless.png": (encoded("PNG")[:-12], "truncated"),
    "almost.png": (encoded("PNG")[:-1], "truncated"),
    "almost.jpg": (encoded("JPEG")[:-1], "truncated"),
    "cut.bmp": (encoded("BMP")[:-2000], "truncated"),
    "cut.tif": (encoded("TIFF")[:-2000], "truncated"),
    "cut.webp": (encoded("WEBP")[:-200], "unreadable"),
    "header.png": (encoded("PNG")[:20], "truncated"),
    "damaged.png": (damaged(encoded("PNG")), "unreadable"),
    "goes-on.png": (png(8, 8, bytes(8 * 25 + 100_000_000)), "unreadable"),
    "texts.png": (png(8, 8, bytes(200), before=chunk(b"tEXt", b"a\0b") * 5000), "too large"),
    "row.png": (png(16_000_000, 1, bytes(48_000_001)), "too large"),
    "segments.jpg": (encoded("JPEG")[:2] + b"\xff\xfe\0\2" * 5000 + encoded("JPEG")[2:], "too large"),
    "half.png": (png(64, 64, bytes(64 * 3 * 32 + 32)), "unreadable"),
    "jpeg.png": (encoded("JPEG"), "wrong extension"),
    "png.jpeg": (encoded("PNG"), "wrong extension"),
    "animated.png": (animation("PNG"), "animated"),
    "animated.webp": (animation("WEBP"), "animated"),
    "pages.tif": (animation("TIFF"), "animated"),
    "bomb.png": (png(60_000, 60_000, bytes(1000)), "too large"),
    "bomb.webp": (huge_webp(), "too large"),
    "scans.jpg": (many_scans(), "too large"),
    "text-bomb.png": (png(8, 8, bytes(200), before=huge_text()), "unreadable"),
    "lzw.tif": (damaged(encoded("TIFF", compression="tiff_lzw")), "unreadable"),
    "heif.jpg": (b"\0\0\0\x18ftypheic" + bytes(100), "wrong extension"),
    "gif.gif": (encoded("GIF"), "unreadable"),
    "ls.jpg": (jpegls_encode(np.asarray(picture())), "unreadable"),
    "deep.jpg": (jpeg8_encode(np.zeros((8, 8), np.uint16), lossless=True), "unreadable"),
    "runs.bmp": (run_length_bmp(60_000, 800), "too large"),
    "fax.tif": (encoded("TIFF", picture().convert("1"), compression="group4"), "unreadable"),
    "float.tif": (encoded("TIFF", Image.fromarray(np.ones((8, 8), np.float32))), "unreadable"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_bad_file_is_named_with_its_kind(tmp_path, name, capfd):
    data, kind = HOSTILE[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ImageError) as caught:
        read_image(tmp_path / name)
    assert caught.value.kind == kind
    with suppress(ImageError):  # and nothing else
        upright_size(tmp_path / name)
    assert caught.value.path == str(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert "truncated: truncated" not in str(caught.value)
    assert capfd.readouterr().err == "", "a decoder has printed something of its own"


def test_places_without_an_image_are_named(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", tmp_path, tmp_path / "missing.png"):
        with pytest.raises(ImageError, match="unreadable"):
            read_image(path)


def test_limit_of_pixels_is_the_callers(tmp_path):
    picture(10, 10).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", max_pixels=100).shape == (10, 10, 3)
    with pytest.raises(ImageError, match="too large: 10x10"):
        read_image(tmp_path / "a.png", max_pixels=99)


def test_error_survives_a_worker_process():
    error = pickle.loads(pickle.dumps(ImageError("a.png", "empty: 0 bytes")))
    assert (error.path, error.reason, error.kind) == ("a.png", "empty: 0 bytes", "empty")


def test_hostile_files_stay_within_500_mb(tmp_path):
    """The largest header that is accepted, with half of its image data."""
    side = 7000
    (tmp_path / "half.png").write_bytes(png(side, side, bytes((3 * side + 1) * side // 2)))
    for name, (data, _) in HOSTILE.items():
        (tmp_path / name).write_bytes(data)
    script = (
        "import resource, sys; from artifact_detection.images.decoding import ImageError, read_image\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for path in sys.argv[1:]:\n"
        "    try: read_image(path); sys.exit(f'{path} was read')\n"
        "    except ImageError: pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    command = [sys.executable, "-c", script, *map(str, tmp_path.iterdir())]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 500_000  # kB
