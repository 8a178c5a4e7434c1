"""Sharing a run among the processes that torchrun started; alone, every step is a no-op."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed

PATIENCE = timedelta(days=30)  # to wait for the slowest process

ALONE = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_WORLD_SIZE": 1}  # torchrun's variables where it is not at work


@dataclass(frozen=True)
class Crew:
    """rank: this process' number, the first one leads; world: how many there are; local: how many on this machine."""

    rank: int
    world: int
    local: int = 1

    @property
    def leads(self) -> bool:
        return self.rank == 0

    @property
    def threads(self) -> int:
        """This process' share of the machine's cores."""
        return max(1, (os.cpu_count() or 1) // self.local)

    def wait(self) -> None:
        """Until every process has come this far."""
        if self.world > 1:
            distributed.barrier()


@contextmanager
def join_crew() -> Iterator[Crew]:
    """The processes of torchrun, or this one alone. The output folder must be one that all of them see."""
    crew = Crew(*(int(os.environ.get(name, value)) for name, value in ALONE.items()))
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
