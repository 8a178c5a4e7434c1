"""What a million images need of the filter's tables: the same answers, all at once."""

import sqlite3

import numpy as np
import pytest

from artifact_detection.filtering import store as stores_module
from artifact_detection.filtering.inputs import Item
from artifact_detection.filtering.policy import Policy, manual_bands
from artifact_detection.filtering.results import judge_all
from artifact_detection.filtering.stages import pending_batches
from artifact_detection.filtering.store import Record, Store, Stores, database

PROBABILITIES = [None, 0.0, 0.1, 0.29, 0.3, 0.31, 0.5, 0.69, 0.7, 0.71, 1.0]


def records(probabilities: list) -> list[Record]:
    return [Record(f"{n}.png", -1, 5, n, probability=value) for n, value in enumerate(probabilities)]


@pytest.mark.parametrize("thresholds", [[0.5], [0.3, 0.7]])
def test_all_verdicts_at_once_are_those_of_one_at_a_time(thresholds):
    rules, some = Policy(manual_bands(thresholds), False), records(PROBABILITIES)
    some[4].lowest, some[4].highest = 0.1, 0.9
    assert rules.judge_all(some) == [rules.judge(record) for record in some]


def test_borderline_is_near_the_edge_of_the_automatic_band():
    near = Policy(manual_bands([0.3, 0.7]), False).are_borderline(PROBABILITIES[1:], 0.1)
    assert np.array(PROBABILITIES[1:])[near].tolist() == [0.29, 0.7, 0.71]


def test_a_batch_is_stored_whole_and_at_the_latest_after_a_second(tmp_path, monkeypatch):
    path = database(tmp_path, "k", 0)

    def on_disk() -> int:
        with sqlite3.connect(path) as connection:
            return connection.execute("SELECT COUNT(*) FROM records").fetchone()[0]

    store = Store(path)
    store.add(records([0.1]))
    assert on_disk() == 1
    store.add(records([0.1, 0.2, 0.3]))
    assert on_disk() == 1
    monkeypatch.setattr(stores_module, "COMMIT_EVERY", 0.0)
    store.add(records([0.1, 0.2, 0.3, 0.4]))
    assert on_disk() == 4
    monkeypatch.setattr(stores_module, "COMMIT_EVERY", 60.0)
    with pytest.raises(KeyboardInterrupt), store:
        store.add(records([0.5] * 9))
        raise KeyboardInterrupt  # while the next batch is half written, for all that the store knows
    assert on_disk() == 4
    with Store(path) as again:
        again.add(records([0.5] * 5))
        again.add(records([0.5] * 6))
    assert on_disk() == 6


def test_what_is_left_to_score_and_the_records_of_the_rest(tmp_path):
    items = [Item(f"{n}.png", "f", "n", bytes=5, mtime_ns=n) for n in range(6)]
    with Store(database(tmp_path, "k", 0)) as first, Store(database(tmp_path, "k", 1)) as second:
        first.add([Record.of(items[0], probability=0.2), Record.of(items[1], error="unreadable: no permission")])
        second.add([Record.of(items[2], probability=0.9), Record("3.png", -1, 5, 99, probability=0.1)])
        second.add([Record.of(items[4], error="truncated")])
    with Stores(tmp_path, "k") as stores:
        assert pending_batches(items, stores, 2) == [[items[3], items[5]], [items[1]]]
        judged = judge_all(items, stores, Policy(manual_bands([0.5]), False))
    assert [row.band for row in judged] == ["keep", "", "reject", "", "", ""]
    assert [row.record.error for row in judged[3:]] == ["not scored", "truncated", "not scored"]
