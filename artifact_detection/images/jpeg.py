"""The segments of a JPEG, of which it has a chain and no table of contents."""

from collections.abc import Iterator

from artifact_detection.images.damage import DamagedError

MAX_SEGMENTS = 1000  # Pillow reads a million of them for ten seconds
_SCAN, _JPEG_LS = 0xDA, 0xF7
_FRAMES = {*range(0xC0, 0xD0), _JPEG_LS} - {0xC4, 0xC8, 0xCC}  # markers of a JPEG's size and precision


def segments(data: bytes) -> Iterator[tuple[int, int]]:
    """(marker, start) of each segment of a JPEG, the header of its first scan the last. Raises DamagedError."""
    start = 2
    for _ in range(MAX_SEGMENTS):
        if start + 4 > len(data):
            return
        marker = data[start + 1]
        if data[start] != 0xFF:
            raise DamagedError("unreadable: what is between its segments is damaged")
        if marker == 0xFF:  # a fill byte
            start += 1
        elif marker == 1 or 0xD0 <= marker <= 0xD9:  # markers without a length
            start += 2
        else:
            yield marker, start
            if marker == _SCAN:
                return
            start += 2 + int.from_bytes(data[start + 2 : start + 4], "big")
    raise DamagedError("too large: it is cut into too many segments")


def first_scan(data: bytes) -> int:
    """Where the first scan of a JPEG begins; its end if there is none. Raises DamagedError for what is not read."""
    for marker, start in segments(data):
        if marker == _SCAN:
            return start
        if marker in _FRAMES and (marker == _JPEG_LS or data[start + 4 : start + 5] != b"\x08"):
            kind = "JPEG-LS" if marker == _JPEG_LS else f"JPEG of {data[start + 4]} bits a sample"
            raise DamagedError(f"unreadable: {kind} is not read, convert it to PNG")
    return len(data)


def usual_header(data: bytes) -> bytes:
    """A JPEG whose header says nothing that decoders only remark on, and decode as if it said what is put here."""
    mended, found = bytearray(data), list(segments(data))
    frame, at = next((one for one in found if one[0] in _FRAMES), (0, 0))
    for marker, start in found:
        content = start + 4
        if marker == 0xE0 and data[content : content + 5] == b"JFIF\0":
            mended[content + 5 : content + 7] = b"\1\1"  # version 1.01
        elif marker == 0xEE and data[content : content + 5] == b"Adobe" and data[content + 11] > 2:
            mended[content + 11] = 2 if data[at + 9] == 4 else 1  # YCCK or YCbCr
        elif marker == _SCAN and frame in (0xC0, 0xC1):
            after = content + 1 + 2 * data[content]
            mended[after : after + 3] = b"\0\x3f\0"  # all coefficients at once
    return bytes(mended)


def scans(data: bytes) -> tuple[int, int]:
    """Where the scans of a JPEG begin and end: what may follow is not the picture's."""
    start = first_scan(data)
    end = data.find(b"\xff\xd9", start)
    return start, end if end >= 0 else len(data)
