"""The one error of what looks for damage in a file."""


class DamagedError(Exception):
    """The message is the reason of an ImageError, its kind included."""
