"""Child processes for tests that kill them."""

import multiprocessing
import multiprocessing.context
import multiprocessing.forkserver
import os

import pytest

from tests.sources import ROOT


def clean_server(module: str) -> multiprocessing.context.BaseContext:
    """Processes from a clean server: starting one takes milliseconds, and it has no thread of this one.

    module: what the server imports beforehand.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
        multiprocessing.forkserver.ensure_running()
    return context
