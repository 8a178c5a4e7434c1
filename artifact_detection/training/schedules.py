"""Learning-rate schedules: functions from a step number to a factor of the base learning rate."""

import math
from collections.abc import Callable

Schedule = Callable[[int], float]


def warmup_cosine(total_steps: int, warmup_steps: int, final: float = 0.01) -> Schedule:
    """Linear warm-up to 1, then half a cosine down to `final` (Loshchilov & Hutter, arXiv 1608.03983, eq. 5)."""

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        progress = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
        return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))

    return factor


def restarted_cosine(total_steps: int, warmup_steps: int) -> Schedule:
    """`warmup_cosine` over the first half of the steps, and another one from half its height over the second.

    A warm restart (Loshchilov & Hutter, arXiv 1608.03983): the first `total_steps / 2` are those of a training half as
    long, so it can be seen whether the second half pays.
    """
    half = total_steps // 2
    first, second = warmup_cosine(half, warmup_steps), warmup_cosine(total_steps - half, 0)
    return lambda step: first(step) if step < half else 0.5 * second(step - half)


def staircase(every: int = 400, decay: float = 0.85) -> Schedule:
    """Multiply by `decay` after each `every` steps (the exponential staircase of the original project)."""
    return lambda step: decay ** (step // every)


SCHEDULES: dict[str, Callable[[int, int], Schedule]] = {  # of all steps and those of the warm-up
    "warmup_cosine": warmup_cosine,
    "restarted_cosine": restarted_cosine,
    "staircase": lambda *_: staircase(),
    "constant": lambda *_: lambda step: 1.0,
}
