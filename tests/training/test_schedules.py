import pytest

from artifact_detection.training.schedules import SCHEDULES, staircase, warmup_cosine


def test_warmup_cosine_known_answers():
    factor = warmup_cosine(total_steps=110, warmup_steps=10, final=0.0)
    known = {0: 0.1, 4: 0.5, 9: 1.0, 10: 1.0, 60: 0.5, 110: 0.0, 500: 0.0}
    assert {step: factor(step) for step in known} == pytest.approx(known)


def test_warmup_cosine_without_warmup_starts_at_one():
    assert warmup_cosine(10, 0)(0) == 1.0


def test_staircase_known_answers():
    factor = staircase(every=400, decay=0.85)
    assert [factor(step) for step in (0, 399, 400, 799, 800)] == pytest.approx([1, 1, 0.85, 0.85, 0.7225])


def test_a_constant_rate():
    assert SCHEDULES["constant"](10, 1)(7) == 1.0


def test_a_restarted_cosine_is_a_training_half_as_long_and_then_another():
    whole, half = SCHEDULES["restarted_cosine"](200, 10), SCHEDULES["warmup_cosine"](100, 10)
    assert [whole(step) for step in range(100)] == [half(step) for step in range(100)]
    assert whole(100) == 0.5 and whole(199) < 0.01
