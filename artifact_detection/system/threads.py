"""Work spread over threads, its results in order."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import chain, islice
from typing import TypeVar

BATCH = 256  # tasks handed to the threads at a time, so that memory does not grow with the number of files
AHEAD = 3  # batches that are prepared in advance

Task, Result = TypeVar("Task"), TypeVar("Result")


def cores() -> int:
    """The cores that this process may use: fewer than the machine has under taskset, Slurm or a container's cpuset."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_threads(act: Callable[[Task], Result], items: Sequence[Task]) -> Iterator[Result]:
    """`map` by several threads, in order: for work that waits for the disk or computes outside Python."""
    with ThreadPoolExecutor(max_workers=min(8, 2 * cores())) as threads:
        for start in range(0, len(items), BATCH):
            yield from threads.map(act, items[start : start + BATCH])


def prepared_batches(
    prepare: Callable[[Task], Result], batches: Sequence[Sequence[Task]], threads: int
) -> Iterator[list[Result]]:
    """`prepare` every item in threads, AHEAD batches in advance; yield the results batch by batch, in order."""
    ahead = AHEAD * max(map(len, batches), default=0)
    results = in_order(prepare, chain.from_iterable(batches), threads, ahead)
    with closing(results):
        for batch in batches:
            yield list(islice(results, len(batch)))


def in_order(act: Callable[[Task], Result], items: Iterable[Task], threads: int, ahead: int) -> Iterator[Result]:
    """`act` on items in threads, at most `ahead` in advance; yield the results in order."""
    waiting = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(act, item))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
