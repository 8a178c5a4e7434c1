"""Bytes -> RGB pixels: the only decoder of the project.

simplejpeg decodes JPEG files and makes every warning of libjpeg-turbo an error; imagecodecs decodes WebP and the PNG
files that datasets are made of. Both are faster than Pillow, give the same pixels and print nothing (see
benchmarks/README.md). Pillow reads every header and decodes everything else.
"""

import io
import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from imagecodecs import spng_decode, webp_decode
from PIL import Image, PngImagePlugin
from simplejpeg import decode_jpeg

from artifact_detection.images import bigtiff, integrity, jpeg, signatures, webp
from artifact_detection.images.damage import DamagedError
from artifact_detection.labels import IMAGE_FORMATS

# A remark on a tag would reach the terminal without the file's name; what makes an image unusable is an exception.
warnings.filterwarnings("ignore", module=r"PIL\.")
for _library in ("PIL", "imagecodecs"):
    logging.getLogger(_library).addHandler(logging.NullHandler())

ACCEPTED = 5  # raise it when other files are accepted: caches and scores from before do not count any more
MAX_PIXELS = 50_000_000  # more is refused from the header: decoding could take over 500 MB
MAX_BYTES = 200_000_000
PngImagePlugin.MAX_TEXT_CHUNK = 16_000_000  # bytes; a workflow or an edit history may take more than Pillow's million
_EXIF_ORIENTATION = 0x0112
_WIDTH, _HEIGHT, _BITS, _SAMPLE_FORMAT, _SIGNED = 256, 257, 258, 339, 2
_KINDS = ("unreadable", "empty", "truncated", "wrong extension", "animated", "too large", "not an image")
_HARMLESS = ("Warning: unknown JFIF", "Unknown Adobe", "Invalid SOS")
"""How libjpeg's remarks begin that are on headers, not on pixels."""
_COLOURS = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}


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
    with _errors_named(path):
        data = _read_bytes(path)
        with _open(path, data) as image:
            integrity.check_header(image, data, max_pixels)
            format_, mode = image.format, image.mode
            pixels = _DECODERS.get(format_, _decode_with_pillow)(image, data)
            integrity.check_zeros(image, data, pixels)
            return DecodedImage(_upright(pixels, _orientation(image, data)), data, format_, mode)


def upright_size(path: str | Path) -> tuple[int, int]:
    """Height and width of a whole image file as `read_image` gives it, from its header. Raises ImageError."""
    with _errors_named(path):
        data = _read_bytes(path)
        with _open(path, data) as image:
            tags = getattr(image, "tag_v2", {})  # Pillow's size of a TIFF is turned already in some versions
            orientation = tags.get(_EXIF_ORIENTATION, 1) if tags else _orientation(image, data)
            width, height = tags.get(_WIDTH, image.width), tags.get(_HEIGHT, image.height)
            return (width, height) if orientation in (5, 6, 7, 8) else (height, width)


@contextmanager
def _errors_named(path: str | Path) -> Iterator[None]:
    """Every error of a decoder as an ImageError."""
    try:
        yield
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
    plugin, unread = signatures.plugin(data), signatures.unread_format(data)
    if not (plugin or unread):
        raise ImageError(path, f"not an image: starts with {data[:8]!r}")
    content = unread or plugin.format
    expected = IMAGE_FORMATS.get(Path(path).suffix.lower(), content)
    if content != expected:
        raise ImageError(path, f"wrong extension: the name says {expected}, the content is {content}")
    if unread:
        raise ImageError(path, f"unreadable: {unread} is not read, convert it to PNG")
    integrity.check_structure(plugin.format, data)
    return plugin(io.BytesIO(bigtiff.for_pillow(data)))


def _decode_jpeg(image: Image.Image, data: bytes) -> np.ndarray:
    """(H, W, 3) uint8. Raises ValueError at the decoder's first warning about the data."""
    colours = _COLOURS[image.mode]
    try:
        pixels = decode_jpeg(data, colorspace=colours, fastdct=False, fastupsample=False)
    except ValueError as error:
        if not str(error).startswith(_HARMLESS):
            raise
        pixels = decode_jpeg(jpeg.usual_header(data), colorspace=colours, fastdct=False, fastupsample=False)
    if colours == "CMYK":  # stored inverted, as Adobe does
        return np.array(Image.fromarray(255 - pixels, "CMYK").convert("RGB"))
    return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB) if colours == "GRAY" else pixels


def _decode_png(image: Image.Image, data: bytes) -> np.ndarray:
    """(H, W, 3) uint8. libspng stops at the last pixel; libpng would go on for as long as the data do."""
    if data[24] != 8 or image.mode == "LA":  # bits a sample; libspng does not read all others
        return _decode_with_pillow(image, data)
    return _rgb(spng_decode(data))


def _decode_webp(_: Image.Image, data: bytes) -> np.ndarray:
    pixels = _rgb(webp_decode(data))
    webp.check_end(data)
    return pixels


def _decode_tiff(image: Image.Image, data: bytes) -> np.ndarray:
    return (bigtiff.decode if bigtiff.is_big_endian(data) else _decode_with_pillow)(image, data)


def _rgb(pixels: np.ndarray) -> np.ndarray:
    """(H, W), (H, W, 3) or (H, W, 4) uint8 -> (H, W, 3): grey repeated, alpha dropped."""
    if pixels.ndim == 2:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
    return pixels if pixels.shape[2] == 3 else cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB)


def _decode_with_pillow(image: Image.Image, _: bytes) -> np.ndarray:
    tags = getattr(image, "tag_v2", {})
    if image.mode.startswith("I;16"):  # convert("RGB") clips at 255 in some versions of Pillow
        grey = (np.asarray(image) >> 8).astype(np.uint8)
    elif image.mode == "I" and (tags.get(_BITS), tags.get(_SAMPLE_FORMAT)) == ((16,), (_SIGNED,)):
        # zero is the middle, as in ImageMagick
        grey = ((np.asarray(image) + 32768) >> 8).astype(np.uint8)
    elif image.mode in ("I", "F"):
        raise DamagedError("unreadable: 32-bit samples have no defined range")
    else:
        return np.array(image if image.mode == "RGB" else image.convert("RGB"))
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)


_DECODERS = {"JPEG": _decode_jpeg, "PNG": _decode_png, "WEBP": _decode_webp, "TIFF": _decode_tiff}


def _orientation(image: Image.Image, data: bytes) -> int:
    """The EXIF orientation of a decoded image that is still to undo, 1 to 8.

    Pillow decodes a PNG to look for it, so that is done only at a sign of one.
    """
    if bigtiff.is_big_endian(data):  # Pillow turns other TIFF files itself
        return image.tag_v2.get(_EXIF_ORIENTATION, 1)
    metadata = any("exif" in key.lower() or "xmp" in key.lower() for key in image.info)
    if image.format == "PNG" and not (metadata or b"eXIf" in {name for name, *_ in integrity.png_chunks(data)}):
        return 1
    return image.getexif().get(_EXIF_ORIENTATION, 1)


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
    """Its kind, and what the decoder says, in one line."""
    text = " ".join(str(error).split())[:120] or type(error).__name__
    if text.startswith(_KINDS):
        return text
    if isinstance(error, Image.DecompressionBombError):
        return f"too large: {text}"
    if text == "not identified by this driver":  # Pillow's word for a header without a picture
        return "unreadable: its header describes no picture"
    signs = ("requires a buffer", "truncated", "premature end")
    incomplete = isinstance(error, EOFError) or any(sign in text.lower() for sign in signs)
    return f"truncated: {text}" if incomplete else f"unreadable: {text}"


LARGE = 4_500_000  # pixels: larger images are decoded one at a time, so that memory stays flat


_one_large_image = threading.Lock()


@contextmanager
def decoded(path: str | Path) -> Iterator[DecodedImage]:
    """`decode_file`, with only one large image in memory at a time, until the block ends. Raises ImageError."""
    image = None
    try:
        image = decode_file(path, LARGE)
    except ImageError as error:
        if error.kind != "too large":
            raise
    with nullcontext() if image else _one_large_image:
        yield image or decode_file(path)
