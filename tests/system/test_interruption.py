import signal

import pytest

from artifact_detection.system.interruption import stop_on_signal


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_is_a_request_and_the_second_what_it_was(number):
    seen = []
    earlier = signal.signal(number, lambda *_: seen.append(number))
    try:
        with stop_on_signal() as stop:
            assert not stop()
            signal.raise_signal(number)
            assert stop() and stop.number == number and not seen
            signal.raise_signal(number)
            assert seen == [number]
        signal.raise_signal(number)
        assert len(seen) == 2
    finally:
        signal.signal(number, earlier)
