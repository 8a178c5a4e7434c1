"""Processes on machines that are not this one, faked."""

import os

import pytest
import torch

from artifact_detection.system.processes import Crew, CrewError, join_crew


@pytest.fixture
def two_ranks(monkeypatch):
    """What torchrun tells the second of two processes."""
    for name, value in {"RANK": 1, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "LOCAL_RANK": 1}.items():
        monkeypatch.setenv(name, str(value))


@pytest.mark.parametrize(
    "device, gpus, sentence",
    [("cuda", 1, "2 processes on this machine, but 1 GPU.*--nproc-per-node=1"), ("cuda:1", 2, "pass --device cuda,")],
)
def test_two_processes_do_not_share_a_gpu(two_ranks, device, gpus, sentence, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(CrewError, match=sentence), join_crew(torch.device(device)):
        pass


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux says which cores are allowed")
def test_cores_are_those_that_are_allowed_shared_among_the_processes_of_this_machine(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert [Crew(0, 8, local).threads for local in (1, 2, 8, 16)] == [8, 4, 1, 1]
