import os

# Before torch is imported. The networks here are tiny, and threads that wait for each other by spinning make a run six
# times slower on a machine that has other work to do. Processes that the tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from tests import toys


@pytest.fixture(scope="session", autouse=True)
def own_state(tmp_path_factory):
    """Records are not signed with the secret of whoever runs the tests; processes that the tests start inherit it."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture
def no_sync(monkeypatch):
    """Syncing guards against a power cut, which no test can make, and takes most of the time."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def dataset(tmp_path):
    """Class folders of 24 training and 12 test images, see tests/toys.py."""
    return toys.write_toys(tmp_path / "dataset")


@pytest.fixture
def folders(dataset):
    """Arguments of model_training.py for a training of a second on `dataset`."""
    return toys.toy_arguments(dataset.parent)
