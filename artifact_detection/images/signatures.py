"""What a file is by its first bytes: the formats that are read, and those that are only named."""

from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from artifact_detection.images import bigtiff

_PLUGINS = {
    b"\x89PNG\r\n\x1a\n": PngImageFile,
    b"\xff\xd8\xff": JpegImageFile,
    b"BM": BmpImageFile,
    b"II*\0": TiffImageFile,
    b"MM\0*": TiffImageFile,
    b"II+\0": TiffImageFile,  # BigTIFF
    bigtiff.SIGNATURE: TiffImageFile,
}
_UNREAD = {
    b"GIF8": "GIF",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"8BPS": "a Photoshop file",
    b"%PDF": "PDF",
}
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF"} | dict.fromkeys((b"heic", b"heix", b"hevc", b"mif1", b"msf1"), "HEIF")


def plugin(data: bytes):
    """Pillow's plugin for the signature, or None."""
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return WebPImageFile
    return next((plugin for start, plugin in _PLUGINS.items() if data.startswith(start)), None)


def unread_format(data: bytes) -> str:
    """The name of an image format that is not read, "" if the file is of none that is known."""
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12], "")
    return next((name for start, name in _UNREAD.items() if data.startswith(start)), "")
