import os

import pytest


@pytest.fixture
def no_sync(monkeypatch):
    """Syncing guards against a power cut, which no test can make, and takes most of the time."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
