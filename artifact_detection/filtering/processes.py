"""Sharing a run among the processes that torchrun started; alone, every step is a no-op."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed

PATIENCE = timedelta(days=30)  # to wait for the slowest process


@dataclass(frozen=True)
class Crew:
    """rank: this process' number, the first one leads; world: how many there are."""

    rank: int
    world: int

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def wait(self) -> None:
        """Until every process has come this far."""
        if self.world > 1:
            distributed.barrier()


@contextmanager
def join_crew() -> Iterator[Crew]:
    """The processes of torchrun, or this one alone. The output folder must be one that all of them see."""
    crew = Crew(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))
    if crew.world == 1:
        yield crew
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())
    distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield crew
    finally:
        distributed.destroy_process_group()
