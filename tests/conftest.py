import os

# Before torch is imported. The networks here are tiny, and threads that wait for each other by spinning make a run six
# times slower on a machine that has other work to do. Processes that the tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest


@pytest.fixture
def no_sync(monkeypatch):
    """Syncing guards against a power cut, which no test can make, and takes most of the time."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
