"""A script's output may lose its reader (`| head -1`): the work goes on, and the exit code is that of the work."""

import os
import sys
from collections.abc import Callable
from typing import NoReturn, TextIO


class Unheard:
    """A text stream that drops what nobody reads any more; in all else the stream that it stands for."""

    def __init__(self, stream: TextIO):
        self.stream = stream

    def __getattr__(self, name: str):
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        try:
            return self.stream.write(text)
        except BrokenPipeError:
            self._drop()
            return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except BrokenPipeError:
            self._drop()

    def _drop(self) -> None:
        """From now on to nowhere: also what is still in a buffer, which Python writes when it ends."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.stream.fileno())
        os.close(nowhere)


def run_script(main: Callable[[], int]) -> NoReturn:
    sys.stdout, sys.stderr = Unheard(sys.stdout), Unheard(sys.stderr)
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(code)
