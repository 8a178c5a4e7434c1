"""Ctrl-C and SIGTERM as a request, so that work in progress can be saved first."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class StopRequest:
    """Whether a stop was asked for: `if stop(): ...`."""

    number = 0  # of the signal, 0 while there was none

    def __call__(self) -> bool:
        return self.number > 0

    def _note(self, number: int, _) -> None:
        self.number = number
        signal.signal(number, self.before[number])  # the second time it means what it always did


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Until the block ends, the first SIGINT and the first SIGTERM only set the request. Main thread only."""
    request = StopRequest()
    request.before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in request.before:
        signal.signal(number, request._note)
    try:
        yield request
    finally:
        for number, handler in request.before.items():
            signal.signal(number, handler)
