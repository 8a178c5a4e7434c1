"""The one error of what looks for damage in a file, and the limits that formats share."""

MAX_SIDE = 65_535  # pixels, as in JPEG; OpenCV's resizing and the decoders' buffers are made for such
SLACK = 65_536  # bytes that compressed data may take or give more than the pixels themselves


class DamagedError(Exception):
    """The message is the reason of an ImageError, its kind included."""
