"""Child processes for tests that kill them."""

import multiprocessing
import multiprocessing.context
import multiprocessing.forkserver
import os

import pytest

from tests.sources import ROOT

PRELOAD = [
    "tests.organizing.test_organize_killed",
    "tests.training.test_training_killed",
]  # there is one server for all


def clean_server() -> multiprocessing.context.BaseContext:
    """Processes from a clean server: starting one takes milliseconds, and it has no thread of this one."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
        multiprocessing.forkserver.ensure_running()
    return context
