"""The chunks of a WebP, and whether its pixels end where their data do."""

from collections.abc import Iterator

from imagecodecs import WebpError, webp_decode

from artifact_detection.images.damage import DamagedError

LOSSY, LOSSLESS = b"VP8 ", b"VP8L"
END = 8  # bytes; encoders fill up the last three


def chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(name, start, end) of the chunks that hold its pixels."""
    start = 12
    while start + 8 <= len(data):
        name, end = data[start : start + 4], start + 8 + int.from_bytes(data[start + 4 : start + 8], "little")
        if name in (LOSSY, LOSSLESS):
            yield name, start + 8, end
        start = end + end % 2


def check_end(data: bytes) -> None:
    """Raises DamagedError if it is decoded without its last bytes, too: then it went out of step on the way."""
    for name, start, end in chunks(data):
        if _is_decoded(name, data[start : end - END]):
            raise DamagedError("unreadable: its data go on after the last pixel")


def _is_decoded(name: bytes, pixels: bytes) -> bool:
    chunk = b"WEBP" + name + len(pixels).to_bytes(4, "little") + pixels + bytes(len(pixels) % 2)
    try:
        webp_decode(b"RIFF" + len(chunk).to_bytes(4, "little") + chunk)
    except WebpError:
        return False
    return True
