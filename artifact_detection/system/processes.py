"""Sharing a run among the processes that torchrun started; alone, every step is a no-op."""

import ctypes
import io
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed

from artifact_detection.system.threads import cores

PR_SET_PDEATHSIG = 1  # of Linux's prctl.h
PATIENCE = timedelta(days=30)  # to wait for the slowest process


class CrewError(Exception):
    """Processes that cannot work together as they were started; the message says what to do."""


@dataclass(frozen=True)
class Crew:
    """rank: this process' number, the first one leads; world: how many there are; local: how many on this machine."""

    rank: int = 0
    world: int = 1
    local: int = 1

    @property
    def leads(self) -> bool:
        return self.rank == 0

    @property
    def threads(self) -> int:
        return max(1, cores() // self.local)

    def wait(self) -> None:
        if self.world > 1:
            distributed.barrier()

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """The leader goes through the block before the others do: they find what it made there."""
        if not self.leads:
            self.wait()
        yield
        if self.leads:
            self.wait()

    def gather(self, value: Any) -> list[Any]:
        """The plain value (or array) of every process, by rank, in every process."""
        if self.world == 1:
            return [value]
        values = [None] * self.world
        distributed.all_gather_object(values, value)
        return values

    def any(self, flags: torch.Tensor) -> torch.Tensor:
        """Bools that say whether it is so in any process, on their device; the host does not wait for them."""
        if self.world == 1:
            return flags
        votes = flags.to(torch.uint8)
        distributed.all_reduce(votes, distributed.ReduceOp.MAX)
        return votes.to(torch.bool)

    def copy_from_leader(self, tensors: Iterable[torch.Tensor]) -> None:
        """Give them, in place, the values that they have in the first process."""
        if self.world > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, 0)


ALONE, CPU = Crew(), torch.device("cpu")


@contextmanager
def join_crew(device: torch.device = CPU) -> Iterator[Crew]:
    """The processes of torchrun, or this one alone; only the first one prints. All must see one output folder.

    device: whose tensors are exchanged. Raises CrewError if that is a GPU that several processes would share.
    """
    variables = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_WORLD_SIZE": 1}  # torchrun's
    crew = Crew(*(int(os.environ.get(name, value)) for name, value in variables.items()))
    if crew.world == 1:
        yield crew
        return
    if device.type == "cuda":
        _refuse_shared_gpu(crew, device)
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=PATIENCE)
    try:
        with nullcontext() if crew.leads else redirect_stdout(io.StringIO()):
            yield crew
    finally:
        distributed.destroy_process_group()


def _refuse_shared_gpu(crew: Crew, device: torch.device) -> None:
    # NCCL itself stops much later, with a page of its own state
    if device.index is not None:
        raise CrewError(f"--device {device} is one GPU for {crew.world} processes: pass --device cuda, one for each")
    gpus = torch.cuda.device_count()
    if crew.local > gpus:
        raise CrewError(
            f"{crew.local} processes on this machine, but {gpus} GPU(s), and each needs its own: "
            f"start them with torchrun --nproc-per-node={gpus}, or pass --device cpu"
        )


def end_with_parent() -> None:
    """In a child, before its program begins: SIGTERM when the parent dies, however it dies. On Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
