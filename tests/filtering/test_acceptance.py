"""The random sample and what is said on it: exact bounds that cover, a sample that stays, statements that go."""

from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
from scipy import stats

from artifact_detection.evaluation.bands import KEEP, REJECT, REVIEW
from artifact_detection.filtering.acceptance import audit, enough, upper_bound
from artifact_detection.filtering.decisions import Decisions, key_of
from artifact_detection.filtering.inputs import Item
from artifact_detection.filtering.policy import NO_BANDS, Policy, manual_bands
from artifact_detection.filtering.results import Judged
from artifact_detection.filtering.sample import AUDITED, by_band, changed_bands, draw, read_sample, update
from artifact_detection.filtering.store import Record

WANTED = {KEEP: 0.02, REJECT: 0.1}
RULES, NOTHING = Policy(manual_bands([0.4, 0.6]), False), Policy(NO_BANDS, False)


def judge(probabilities, rules: Policy = RULES) -> list[Judged]:
    rows = []
    for n, probability in enumerate(probabilities):
        record = Record(f"{n:05d}.png", -1, 1, 1, sha256=f"{n:064x}", probability=probability)
        rows.append(Judged(Item(record.path, record.path, record.path), record, rules.judge(record)))
    return rows


def statement(sample, probabilities, said, rules: Policy = RULES):
    """The audit when people have said this: (image, decision) pairs."""
    rules = replace(rules, decisions=Decisions(said))
    return audit(sample, by_band(judge(probabilities, rules), rules), rules.decisions, WANTED)


@pytest.fixture
def scores() -> list[float]:
    return np.random.default_rng(1).permutation(np.repeat([0.1, 0.5, 0.9], [1830, 30, 150])).tolist()


# ---- bounds


@pytest.mark.parametrize(
    ("wrong", "looked_at", "images", "most"), [(0, 60, 1830, 87), (3, 50, 50, 3), (1, 1, 10, 10), (0, 1, 10, 9)]
)
def test_known_bounds(wrong, looked_at, images, most):
    assert upper_bound(wrong, looked_at, images) == most


@pytest.mark.parametrize("images", [30, 400, 1830])
@pytest.mark.parametrize("looked_at", [10, 25])
def test_the_bound_covers_and_is_the_smallest_that_does(images, looked_at):
    """Exactly, for every number of wrong images: the chance that the bound is below it is at most 5 %."""
    bounds = np.array([upper_bound(k, looked_at, images) for k in range(looked_at + 1)])
    assert (np.diff(bounds) > 0).all()
    miss = np.array(
        [stats.hypergeom.pmf(np.flatnonzero(bounds < bad), images, bad, looked_at).sum() for bad in range(images + 1)]
    )
    assert miss.max() <= 0.05
    assert all(stats.hypergeom.cdf(k, images, bounds[k] + 1, looked_at) <= 0.05 for k in range(looked_at))


@pytest.mark.parametrize("prevalence", [0.01, 0.05, 0.3])
def test_looking_early_and_again_keeps_the_stated_confidence(prevalence):
    """A person looks after every fifth image and believes the best bound; then draws again, up to 3 samples in all.

    On one sample the best bound on the way holds in 95 %, on all three together in 1 - 3 * 5 %.
    """
    rng, images, size, draws = np.random.default_rng(0), 300, 40, 600
    bad = round(prevalence * images)
    bounds = {k: upper_bound(k, size, images) for k in range(size + 1)}
    best = np.empty((draws, 3))
    for one in np.ndindex(best.shape):
        wrong = rng.permutation(images)[:size] < bad
        seen = [bounds[int(wrong[:n].sum()) + size - n] for n in range(0, size + 1, 5)]  # the undecided count as wrong
        best[one] = min(seen)
    tolerance = 3 * np.sqrt(0.05 * 0.95 / draws)
    assert (best < bad).mean(0).max() <= 0.05 + tolerance
    assert (best.min(1) < bad).mean() <= 0.15 + tolerance


@pytest.mark.parametrize(("rate", "images", "size"), [(0, 1830, 141), (0.02, 1830, None), (0, 40, 38)])
def test_how_many_are_enough(rate, images, size):
    assert enough(0.02, rate, images) == size
    if size:
        assert upper_bound(0, size, images) <= 0.02 * images < upper_bound(0, size - 1, images)


# ---- the sample


def test_every_image_of_a_band_is_as_likely():
    groups = by_band(judge([0.1, 0.9] * 15 + [0.5]), RULES)
    samples = [draw(groups, 4, RULES, "m", seed, 0) for seed in range(400)]
    for band in (KEEP, REJECT):
        times = np.zeros(len(groups[band]))
        for sample in samples:
            for one in sample.of(band):
                times[[key_of(row.record) for row in groups[band]].index(one.key)] += 1
                assert one.inclusion == 4 / len(groups[band])
        assert stats.chisquare(times).pvalue > 0.001
    firsts = [sample.drawn[0].band for sample in samples]
    assert 0.4 < firsts.count(KEEP) / len(firsts) < 0.6  # the bands are mixed
    assert {row.band for row in samples[0].drawn[8:]} == {REVIEW}


def test_another_detector_is_not_judged_by_the_images_that_it_learnt_from():
    """Kept are the same 160 images but for one: their samples of 60 share what chance gives, 22.5 on average."""
    kept = [by_band(judge(scores), RULES) for scores in ([0.1] * 160, [0.9] + [0.1] * 159)]
    shared = []
    for seed in range(20):
        first, second = (draw(groups, 60, RULES, f"model {n}", seed, 0) for n, groups in enumerate(kept))
        shared.append(len({row.key for row in first.of(KEEP)} & {row.key for row in second.of(KEEP)}))
    assert np.mean(shared) == pytest.approx(60 * 60 / 160, abs=3)


def test_a_sample_stays_until_it_does_not_fit(tmp_path, scores):
    groups = by_band(judge(scores), RULES)
    first = update(tmp_path, None, groups, 60, RULES, "m")
    before = (tmp_path / "audit.csv").read_bytes()
    again = by_band(judge(scores)[::-1], RULES)  # in another order, as another run may find them
    for size in (None, 60):
        assert update(tmp_path, read_sample(tmp_path), again, size, RULES, "m") == first
    assert read_sample(tmp_path).drawn == first.drawn and (tmp_path / "audit.csv").read_bytes() == before
    more = by_band(judge([*scores, 0.95]), RULES)
    assert changed_bands(first, more) == [REJECT]
    second = update(tmp_path, replace(first, stated=True), more, 60, RULES, "m")
    assert (second.seed, second.earlier, changed_bands(second, more)) == (1, 1, [])
    assert {row.key for row in second.of(KEEP)} != {row.key for row in first.of(KEEP)}
    seen = replace(RULES, decisions=Decisions([(second.drawn[0].key, KEEP)]))  # reason enough to draw again
    assert [update(tmp_path, second, more, 61, rules, "m").earlier for rules in (RULES, seen)] == [1, 2]


@pytest.mark.parametrize("killed", ["write_record", "write_table"])
def test_a_sample_that_was_being_written_is_drawn_again(tmp_path, scores, monkeypatch, killed):
    groups = by_band(judge(scores), RULES)
    first = update(tmp_path, None, groups, 60, RULES, "m")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(f"artifact_detection.filtering.sample.{killed}", Mock(side_effect=KeyboardInterrupt))
        update(tmp_path, first, groups, 61, RULES, "m")
    found = update(tmp_path, read_sample(tmp_path), groups, 61, RULES, "m")
    assert (found, found.drawn) == (read_sample(tmp_path), read_sample(tmp_path).drawn) and found.drawn
    assert (found.size, found.seed, found.earlier) == (61, 1, 0)  # as if there had been no kill


def test_a_sample_that_was_edited_says_nothing(tmp_path, scores):
    update(tmp_path, None, by_band(judge(scores), RULES), 5, RULES, "m")
    (tmp_path / "audit.csv").write_text((tmp_path / "audit.csv").read_text().replace("keep", "reject", 1))
    found = statement(read_sample(tmp_path), scores, [])
    assert not found.bounds and "not the one" in found.lines()[0]


# ---- statements


def test_what_is_said(scores):
    sample = draw(by_band(judge(scores), RULES), 60, RULES, "m", 0, 0)
    found = statement(sample, scores, [(row.key, row.band) for row in sample.of(*AUDITED)])
    assert found.lines()[0] == (
        "of the 1,830 kept images at most 4.8% have artifacts, with 95% confidence: 0 of 60 looked at. "
        "For at most 2% it takes a new sample of about 141 (--audit 141) without a wrong one"
    )
    assert "of the 150 rejected images at most" in found.lines()[1] and "90% confidence" in found.lines()[2]
    assert "before any decision" in found.lines()[3]


def test_undecided_unsure_and_contradicted_images_count_as_wrong(scores):
    sample = draw(by_band(judge(scores), RULES), 60, RULES, "m", 0, 0)
    _, second, third, *others = [row.key for row in sample.of(KEEP)]
    said = [(key, KEEP) for key in others] + [(second, REVIEW), (third, KEEP), (third, REJECT), (others[0], KEEP)]
    (bound,) = statement(sample, scores, said).bounds
    assert (bound.decided, bound.wrong, bound.at_most) == (57, 0, upper_bound(3, 60, 1830))
    assert "the other 3 of the sample, undecided or unsure, count as wrong" in bound.sentence()


def test_a_band_that_was_looked_at_as_a_whole_needs_no_bound():
    scores = [0.1] * 4 + [0.9] * 3
    sample = draw(by_band(judge(scores), RULES), 60, RULES, "m", 0, 0)
    said = [(row.key, row.band if n else REJECT) for n, row in enumerate(sample.of(KEEP))]
    assert statement(sample, scores, said).lines()[0] == (
        "of the 4 kept images 1 have artifacts: all of them were looked at"
    )
    both = statement(sample, scores, [*said, *((row.key, row.band) for row in sample.of(REJECT))])
    assert both.joint == 1 and "confidence" not in " ".join(both.lines())  # nothing is left to chance


def test_a_sample_that_nobody_is_sure_of_shows_nothing(scores):
    sample = draw(by_band(judge(scores), RULES), 60, RULES, "m", 0, 0)
    (bound,) = statement(sample, scores, [(row.key, REVIEW) for row in sample.of(KEEP)]).bounds
    assert bound.at_most == 1830 and "none of the 60 looked at is decided for sure" in bound.sentence()


def test_found_images_are_taken_out_of_what_is_left(scores):
    sample = draw(by_band(judge(scores), RULES), 60, RULES, "m", 0, 0)
    said = [(row.key, REJECT if n < 2 else KEEP) for n, row in enumerate(sample.of(KEEP))]
    (bound,) = statement(sample, scores, said).bounds
    assert (bound.at_most, bound.left) == (upper_bound(2, 60, 1830), upper_bound(2, 60, 1830) - 2)


def test_no_statement_on_a_band_that_changed(scores):
    sample = draw(by_band(judge(scores), RULES), 60, RULES, "m", 0, 0)
    said = [(row.key, row.band) for row in sample.drawn]
    moved = Policy(manual_bands([0.4, 0.95]), False)  # nothing is rejected any more
    found = statement(sample, scores, said, moved)
    assert [one.band for one in found.bounds] == [KEEP]
    assert "no statement on the rejected images" in found.lines()[-1]


def test_where_nothing_is_kept_or_rejected_the_sample_is_for_calibrate(scores):
    sample = draw(by_band(judge(scores, NOTHING), NOTHING), 60, NOTHING, "m", 0, 0)
    first, second, *_ = sample.first()
    found = statement(sample, scores, [(first.key, KEEP), (second.key, REVIEW)], NOTHING)
    assert not found.bounds and len(found.lines()) == 1
    assert "the 60 of all 2,010 images that are drawn at random (1 decided so far); --calibrate" in found.lines()[0]


def test_a_second_sample_says_what_all_of_them_are_worth(scores):
    sample = draw(by_band(judge(scores), RULES), 60, RULES, "m", 1, earlier=1)
    found = statement(sample, scores, [(row.key, row.band) for row in sample.drawn])
    assert "sample 2" in found.lines()[2] and "80% confidence" in found.lines()[2]


def test_without_a_random_sample_nothing_is_said(scores):
    assert statement(None, scores, []) is None
    found = statement(None, scores, [(("00000.png", f"{0:064x}"), KEEP)])
    assert not found.bounds and "no random sample" in found.lines()[0]
