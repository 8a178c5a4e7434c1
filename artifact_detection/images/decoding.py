"""Bytes -> RGB pixels: the only decoder of the project.

imagecodecs decodes the plain PNG files that datasets are made of, OpenCV their WebP and JPEG files (faster than Pillow,
same pixels, see benchmarks/README.md); Pillow reads every header, decodes everything else, and says what is wrong with
a broken file.
"""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from imagecodecs import PngError, png_decode
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

MAX_PIXELS = 50_000_000  # more is refused from the header: decoding could take over 500 MB
MAX_BYTES = 200_000_000
MAX_SCANS = 100  # a progressive JPEG has about ten; thousands keep a decoder busy for minutes
FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
_EXIF_ORIENTATION = 0x0112
_ENDS = {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9"}


class ImageError(Exception):
    """A file that cannot be used as an image. `path` names it, `reason` says why in a few words.

    `kind` is the start of the reason: unreadable, empty, truncated, wrong extension, animated, too large, or
    not an image.
    """

    def __init__(self, path: str | Path, reason: str):
        super().__init__(f"{path}: {reason}")
        self.path, self.reason, self.kind = str(path), reason, reason.partition(":")[0]

    def __reduce__(self):  # so that it survives the way back from a worker process
        return type(self), (self.path, self.reason)


@dataclass(frozen=True)
class DecodedImage:
    """pixels: (H, W, 3) uint8 RGB, upright; data: the file; format and mode: Pillow's names ("PNG", "RGBA", …)."""

    pixels: np.ndarray
    data: bytes
    format: str
    mode: str


def read_image(path: str | Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The pixels of `decode_file`: (H, W, 3) uint8 RGB."""
    return decode_file(path, max_pixels).pixels


def decode_file(path: str | Path, max_pixels: int = MAX_PIXELS) -> DecodedImage:
    """Decode a PNG, JPEG, WebP, BMP or TIFF file to RGB, EXIF rotation applied, alpha dropped, 16 bits shifted to 8.

    Pixels are those of Pillow's convert("RGB"). Safe to call from several threads. Raises ImageError for anything
    that is not one whole image of the format its name says, of at most `max_pixels` pixels.
    """
    data = _read_bytes(path)
    try:
        with _open(path, data) as image:
            _check(path, image, data, max_pixels)
            decode = _decode_fast if _is_plain(image) else _decode_with_pillow
            format_, mode = image.format, image.mode
            pixels = decode(image, data)
            return DecodedImage(_upright(pixels, _orientation(image, data)), data, format_, mode)
    except ImageError:
        raise
    except Exception as error:  # Pillow's plugins raise many types on broken files
        raise ImageError(path, _reason(error)) from error


def _read_bytes(path: str | Path) -> bytes:
    path = Path(path)
    try:
        size = path.stat().st_size
        if not path.is_file():  # a named pipe would block for ever
            raise ImageError(path, "unreadable: not a regular file")
        if size > MAX_BYTES:
            raise ImageError(path, f"too large: {size / 1e6:.0f} MB")
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(path, f"unreadable: {error.strerror or error}") from error
    if not data:
        raise ImageError(path, "empty: 0 bytes")
    return data


def _open(path: str | Path, data: bytes) -> Image.Image:
    """The lazily opened image; its plugin is called directly, for Image.open would warn about large headers."""
    plugin = _plugin(data)
    if plugin is None:
        raise ImageError(path, f"not an image: starts with {data[:8]!r}")
    expected = FORMATS.get(Path(path).suffix.lower(), plugin.format)
    if plugin.format != expected:
        raise ImageError(path, f"wrong extension: the name says {expected}, the content is {plugin.format}")
    return plugin(io.BytesIO(data))


def _plugin(data: bytes):
    """Pillow's plugin for the file signature, or None."""
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return WebPImageFile
    signatures = {
        b"\x89PNG\r\n\x1a\n": PngImageFile,
        b"\xff\xd8\xff": JpegImageFile,
        b"BM": BmpImageFile,
        b"II*\0": TiffImageFile,
        b"MM\0*": TiffImageFile,
    }
    return next((plugin for start, plugin in signatures.items() if data.startswith(start)), None)


def _check(path: str | Path, image: Image.Image, data: bytes, max_pixels: int) -> None:
    """Refuse from the header, before anything is decoded."""
    if image.width * image.height > max_pixels:
        raise ImageError(path, f"too large: {image.width}x{image.height} pixels")
    if getattr(image, "is_animated", False):
        raise ImageError(path, f"animated: more than one {'page' if image.format == 'TIFF' else 'frame'}")
    if image.format == "JPEG" and data.count(b"\xff\xda") > MAX_SCANS:
        raise ImageError(path, f"too large: more than {MAX_SCANS} scans")
    if image.mode in ("I", "F"):
        raise ImageError(path, "unreadable: 32-bit samples have no defined range")


def _is_plain(image: Image.Image) -> bool:
    """True for what others read as Pillow does, in less time and memory: PNG, WebP, and JPEG unless CMYK."""
    return image.format in ("PNG", "WEBP") or (image.format == "JPEG" and image.mode in ("L", "RGB"))


def _decode_fast(image: Image.Image, data: bytes) -> np.ndarray:
    """(H, W, 3) uint8. Raises what Pillow has to say about a file that the fast decoders refuse or do not check."""
    if not data.endswith(_ENDS.get(image.format, b"")):  # OpenCV would fill what is missing of a JPEG with grey
        image.load()
        if image.format == "PNG" and _ENDS["PNG"] not in data:  # all pixels may be there, but libpng would complain
            raise OSError("truncated: the end of the file is missing")
    pixels = _decode_png(data) if image.format == "PNG" and image.mode in ("RGB", "RGBA") else _decode_with_opencv(data)
    if pixels is None:
        image.load()
        raise OSError("image data is damaged or incomplete")
    return pixels


def _decode_png(data: bytes) -> np.ndarray | None:
    """A PNG in colour, or None. Of 16 bits, which Pillow calls RGB too, OpenCV keeps the upper ones."""
    try:
        pixels = png_decode(data)
    except PngError:
        return None
    if pixels.dtype != np.uint8:
        return _decode_with_opencv(data)
    return pixels if pixels.shape[2] == 3 else cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB)


def _decode_with_opencv(data: bytes) -> np.ndarray | None:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)


def _decode_with_pillow(image: Image.Image, _: bytes) -> np.ndarray:
    if image.mode.startswith("I;16"):  # convert("RGB") clips at 255 in some versions of Pillow
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _orientation(image: Image.Image, data: bytes) -> int:
    """The EXIF orientation of a decoded image that is still to undo, 1 to 8.

    Pillow decodes a PNG to look for it, so that is done only at a sign of one.
    """
    metadata = ("exif" in key.lower() or "xmp" in key.lower() for key in image.info)
    if image.format == "PNG" and not any(metadata) and b"eXIf" not in _png_chunks(data):
        return 1
    return image.getexif().get(_EXIF_ORIENTATION, 1)


def _png_chunks(data: bytes) -> Iterator[bytes]:
    """The names of a PNG's chunks; a search through all its bytes would take a twentieth of the decoding."""
    start = 8
    while start + 8 <= len(data):
        yield data[start + 4 : start + 8]
        start += 12 + int.from_bytes(data[start : start + 4], "big")


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo an EXIF orientation: 2 to 4 mirror or turn by 180°, 5 to 8 swap the axes as well."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())[:120] or type(error).__name__
    if isinstance(error, Image.DecompressionBombError):
        return f"too large: {text}"
    incomplete = isinstance(error, EOFError) or "truncated" in text.lower()
    return f"truncated: {text}" if incomplete else f"unreadable: {text}"


LARGE = 4_500_000  # pixels: larger images are decoded one at a time, so that memory stays flat


_one_large_image = threading.Lock()


@contextmanager
def decoded(path: str | Path) -> Iterator[DecodedImage]:
    """`decode_file`, with only one large image in memory at a time, until the block ends. Raises ImageError."""
    image = _decode_if_small(path)
    with nullcontext() if image else _one_large_image:
        yield image or decode_file(path)


def _decode_if_small(path: str | Path) -> DecodedImage | None:
    try:
        return decode_file(path, LARGE)
    except ImageError as error:
        if error.kind != "too large":
            raise
    return None
