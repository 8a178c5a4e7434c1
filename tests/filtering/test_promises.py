"""What the filter says of the images that nobody looks at: estimates that cover, promises that hold or go."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.special import logit

from artifact_detection.detector.checkpoints import CERTIFIES, CHOOSES, Checkpoint, DefaultBands, Validation
from artifact_detection.evaluation.bands import KEEP, REJECT, REVIEW
from artifact_detection.evaluation.label_shift import Scores
from artifact_detection.filtering import estimates
from artifact_detection.filtering.acceptance import AuditStatement
from artifact_detection.filtering.calibration import calibrated_policy
from artifact_detection.filtering.decisions import key_of
from artifact_detection.filtering.estimates import NoEstimateError, Outcome, estimate
from artifact_detection.filtering.inputs import Inputs, Item
from artifact_detection.filtering.policy import NO_BANDS, Policy, PolicyError, manual_bands
from artifact_detection.filtering.promises import promised_policy
from artifact_detection.filtering.results import Judged
from artifact_detection.filtering.sample import AuditSample, Drawn, digest_of
from artifact_detection.filtering.store import Record
from artifact_detection.filtering.summary import summarize
from tests.evaluation.simulation import draw, most

POLICY = Policy(manual_bands([0.3, 0.7]), False)
EVEN = Policy(manual_bands([0.75, 0.98]), False)  # where classes of distance 4 meet, and where artifacts begin
LIMITS = {"clean_rejected": 0.1, "artifacts_kept": 0.05}
CARD = DefaultBands(0.2, 0.9, "1 % and 10 % false alarms on unseen faces")


def beta(rng, count: int, prevalence: float) -> tuple[np.ndarray, np.ndarray]:
    targets = (rng.random(count) < prevalence).astype(int)
    return targets, np.where(targets == 1, rng.beta(4, 1.5, count), rng.beta(1.5, 4, count))


def untouched(probabilities: np.ndarray, policy: Policy = POLICY) -> Outcome:
    return Outcome(probabilities, policy.bands.decide(probabilities), np.zeros(len(probabilities), dtype=bool))


# ---- estimates


@pytest.mark.parametrize("prevalence", [0.02, 0.1, 0.5])
@pytest.mark.parametrize("looked_at", [False, True], ids=["as banded", "after decisions and re-encoding"])
def test_intervals_cover_the_truth_at_any_prevalence(monkeypatch, prevalence, looked_at):
    """Validation has 20 % artifacts, the user's images another share: 95 % intervals, at least 90 % of 150 draws.

    looked_at: a person decided on the 200 images with the highest probability among the kept and on 50 of the rejected,
    and images near an edge went to review.
    """
    monkeypatch.setattr(estimates, "is_foreign", lambda *_: False)  # it has a simulation of its own
    rng, hits = np.random.default_rng(1), np.zeros(3)
    for _ in range(150):
        labelled = Scores(*beta(rng, 500, 0.2))
        targets, probabilities = beta(rng, 1_000, prevalence)
        outcome = untouched(probabilities)
        if looked_at:
            rows = np.flatnonzero(outcome.bands == KEEP)
            seen = np.append(rows[np.argsort(-probabilities[rows])[:200]], np.flatnonzero(outcome.bands == REJECT)[:50])
            near = np.min(np.abs(probabilities[:, None] - [0.3, 0.7]), axis=1) < 0.02
            outcome.bands[near] = REVIEW
            outcome.bands[seen], outcome.decided[seen] = np.where(targets[seen] == 1, REJECT, KEEP), True
        found = estimate(labelled, POLICY, outcome, cut=0.5)
        kept, rejected = outcome.bands == KEEP, outcome.bands == REJECT
        truth = (targets.mean(), (kept & (targets == 1)).sum(), (rejected & (targets == 0)).sum())
        got = (found.prevalence, found.artifacts_kept, found.clean_rejected)
        hits += [one.low <= value <= one.high for one, value in zip(got, truth, strict=True)]
    assert (hits / 150 >= 0.9).all(), hits / 150


@pytest.mark.parametrize(
    ("labelled", "images", "prevalence"), [(150, 1000, 0.05), (400, 300, 0.01), (264, 100, 0.0), (264, 5000, 0.0)]
)
def test_intervals_cover_where_next_to_nothing_is_seen(monkeypatch, labelled, images, prevalence):
    """A few wrong images, or none, in a band: a share that comes out below 0 is no proof that there are none."""
    monkeypatch.setattr(estimates, "is_foreign", lambda *_: False)
    monkeypatch.setattr(estimates, "DRAWS", 800)
    rng, covered = np.random.default_rng(0), []
    for _ in range(120):
        validation, (targets, scores) = draw(rng, labelled, 0.3, 4.0), draw(rng, images, prevalence, 4.0)
        outcome = untouched(scores, EVEN)
        found = estimate(Scores(*validation), EVEN, outcome)
        truth = [((outcome.bands == KEEP) & (targets == 1)).sum(), ((outcome.bands == REJECT) & (targets == 0)).sum()]
        intervals = found.artifacts_kept, found.clean_rejected, found.prevalence
        covered.append([a.low <= b <= a.high for a, b in zip(intervals, [*truth, targets.mean()], strict=True)])
    assert (np.mean(covered, axis=0) >= 0.9).all(), np.mean(covered, axis=0)


def test_nothing_is_left_where_a_person_decided_on_everything():
    rng = np.random.default_rng(0)
    labelled, (targets, probabilities) = Scores(*beta(rng, 500, 0.2)), beta(rng, 300, 0.3)
    outcome = Outcome(probabilities, np.where(targets == 1, REJECT, KEEP), np.full(300, True))
    found = estimate(labelled, POLICY, outcome)
    assert found.artifacts_kept.high == found.clean_rejected.high == 0
    assert found.prevalence.low == found.prevalence.high == targets.mean()


def test_no_estimate_from_a_model_that_cannot_tell():
    rng = np.random.default_rng(0)
    with pytest.raises(NoEstimateError, match="tell the classes apart"):
        estimate(Scores(np.repeat([0, 1], 50), rng.random(100)), POLICY, untouched(rng.random(100)))


@pytest.mark.parametrize(("low", "high"), [(0.6, 1.0), (0.0, 0.2)], ids=["above-all-artifacts", "below-all-clean"])
def test_no_estimate_for_images_of_another_kind(low, high):
    """Every image at one end: neither class of validation scores so, nor any mixture of the two."""
    rng = np.random.default_rng(0)
    with pytest.raises(NoEstimateError, match="unlike any mixture"):
        estimate(Scores(*beta(rng, 500, 0.2)), POLICY, untouched(rng.uniform(low, high, 300)))


def test_no_estimate_of_nothing():
    with pytest.raises(NoEstimateError, match="no image"):
        estimate(Scores(*beta(np.random.default_rng(0), 500, 0.2)), POLICY, untouched(np.empty(0)))


# ---- what validation can promise


def checkpoint(rng, injected: bool = False, distance: float = 5.0, **extra) -> Checkpoint:
    """A checkpoint's validation: 2,000 images, half of them artifacts, half of them certifying."""
    parts = np.where(np.arange(2000) < 1000, CHOOSES, CERTIFIES)
    return Checkpoint(validation=Validation(*draw(rng, 2000, 0.5, distance), parts, injected), **extra)


def test_validation_survives_a_checkpoint(tmp_path):
    made = checkpoint(np.random.default_rng(0), injected=True, default_bands=CARD)
    torch.save(made.values(), tmp_path / "a.pt")
    again = Checkpoint.of(torch.load(tmp_path / "a.pt", weights_only=True))
    assert replace(again, validation=None) == replace(made, validation=None)
    read = again.validation
    assert read.injected and (read.parts == CERTIFIES).sum() == 1000
    assert read.probabilities == pytest.approx(made.validation.probabilities, abs=1e-6)


def test_a_checkpoint_that_knows_no_parts_promises_nothing():
    rng = np.random.default_rng(0)
    old = checkpoint(rng).values()
    del old["validation_parts"]
    policy = promised_policy(Checkpoint.of(old), draw(rng, 500, 0.3, 5.0)[1], **LIMITS)
    assert policy.edges() == (None, None) and "no part that chose nothing" in policy.sentences()[0]


def test_promises_go_for_other_images():
    """As in 80 foreign faces that were all rejected with a promise: now they are for review, unless asked otherwise."""
    rng = np.random.default_rng(0)
    model, foreign = checkpoint(rng), draw(rng, 80, 0.0, 5.0, shift=2.0)[1]
    policy = promised_policy(model, foreign, **LIMITS)
    assert policy.edges() == (None, None) and not policy.certified
    assert "unlike any mixture" in policy.sentences()[0] and not any("at most" in line for line in policy.sentences())
    asked = promised_policy(model, foreign, **LIMITS, without_promise=True)
    assert None not in asked.edges() and not asked.certified
    assert "applied without a promise" in asked.sentences()[0]
    assert not any("at most" in line for line in asked.sentences())


@pytest.mark.parametrize("distance", [2.0, 2.5, 3.0])
def test_promises_go_where_clean_images_score_like_artifacts(distance):
    """The shape of the scores cannot tell them from artifacts: that most would have artifacts does."""
    rng = np.random.default_rng(0)
    for _ in range(10):
        foreign = draw(rng, 400, 0.1, distance, shift=distance)[1]
        assert promised_policy(checkpoint(rng, distance=distance), foreign, **LIMITS).edges() == (None, None)


def test_promises_stay_for_images_of_the_same_kind():
    rng = np.random.default_rng(0)
    policy = promised_policy(checkpoint(rng), draw(rng, 500, 0.3, 5.0)[1], **LIMITS)
    assert policy.certified and None not in policy.edges()
    *promises, note = policy.sentences()
    assert all("if images of a class score as in validation" in line for line in promises)
    assert "clean images that score like artifacts, or the other way round, pass that test" in note


def test_injected_validation_is_named_and_places_nothing():
    rng = np.random.default_rng(0)
    model, images = checkpoint(rng, injected=True), draw(rng, 500, 0.5, 5.0)[1]
    policy = promised_policy(model, images, **LIMITS)
    text = " ".join(policy.sentences())
    assert policy.edges() == (None, None)
    assert "for injected artifacts" in text and "injected artifacts, 50% of its images: nothing is known" in text
    assert None not in promised_policy(model, images, **LIMITS, without_promise=True).edges()


@pytest.mark.parametrize(("probability", "doubted"), [(0.1, False), (0.95, True)])
def test_what_injected_artifacts_taught_estimates_nothing_and_a_landslide_is_doubted(probability, doubted):
    made = checkpoint(np.random.default_rng(0), injected=True, default_bands=CARD)
    policy = promised_policy(made, np.full(40, probability), **LIMITS)
    record = Record("a.png", -1, 1, 1, probability=probability)
    judged = [Judged(Item("a.png", "a.png", "a.png", -1, 1, 1), record, policy.judge(record))] * 40
    scorer = SimpleNamespace(model_id="model", engine=SimpleNamespace(name="engine"), checkpoint=made)
    lines = summarize(judged, Inputs(), policy, scorer).lines()
    after_a_look = summarize(judged, Inputs(), policy, scorer, audit=AuditStatement([], 1, 1, [])).lines()
    assert "look at a sample" not in " ".join(after_a_look)
    assert "what is left: the detector was validated on injected artifacts only; look at a sample" in " ".join(lines)
    assert any(line.startswith("more than half of the images are rejected") for line in lines) == doubted


def test_bands_of_the_model_card_promise_nothing():
    policy = promised_policy(Checkpoint(default_bands=CARD), np.linspace(0, 1, 50), **LIMITS)
    assert policy.edges() == (0.2, 0.9) and not policy.certified
    assert "1 % and 10 % false alarms on unseen faces): no promise about your images" in policy.sentences()[0]
    injected = checkpoint(np.random.default_rng(0), injected=True, default_bands=CARD)
    assert promised_policy(injected, np.linspace(0, 1, 50), **LIMITS).edges() == (0.2, 0.9)


def test_a_checkpoint_without_validation_scores_is_refused():
    with pytest.raises(PolicyError, match="no validation scores"):
        promised_policy(Checkpoint(), np.empty(0), **LIMITS)


# ---- what a sample of the images themselves can promise


def test_records_are_calibrated_together_as_each_alone():
    """What is None stays so, and the records that were given stay as they are."""
    policy = Policy(NO_BANDS, False, temperature=2.0, shift=-0.5)
    records = [
        Record("a", -1, 1, 1, probability=0.9, lowest=0.2, highest=1.0),
        Record("b", -1, 1, 1, error="not an image"),
        Record("c", -1, 1, 1, probability=0.0),
    ]
    before = [replace(one) for one in records]
    for one, found in zip(records, policy.calibrate_all(iter(records)), strict=True):
        for name in ("probability", "lowest", "highest"):
            given, value = getattr(one, name), getattr(found, name)
            assert (value is None) if given is None else (value == policy.calibrated(given) and type(value) is float)
    assert records == before and policy.calibrate_all([]) == []
    assert Policy(NO_BANDS, False).calibrate_all(iter(records)) == records


def user(rng, count: int, prevalence: float, distance: float) -> tuple[np.ndarray, list[Record]]:
    """A finite set of images: targets and records."""
    targets, probabilities = draw(rng, count, prevalence, distance)
    scores = enumerate(probabilities.round(6).tolist())
    return targets, [Record(str(n), -1, 1, 1, sha256="s", probability=p) for n, p in scores]


def drawn_by_band(rng, records: list[Record], size: int, edges: tuple[float, float]) -> AuditSample:
    """`size` images of each band; the whole set is one band where both edges are 0."""
    p = np.array([one.probability for one in records])
    bands, drawn = manual_bands([*edges]).decide(p), []
    for band in np.unique(bands):
        members = np.flatnonzero(bands == band)
        chosen = rng.permutation(members)[:size]
        drawn += [Drawn(str(row), "s", band, p[row], len(chosen) / len(members), 0) for row in chosen]
    everything = digest_of(map(key_of, records))
    return AuditSample(size, 0, "", edges, {}, {}, everything, drawn=tuple(drawn))


def decided_rightly(sample: AuditSample, targets: np.ndarray) -> dict[tuple[str, str], str]:
    return {row.key: REJECT if targets[int(row.path)] else KEEP for row in sample.drawn}


@pytest.mark.parametrize(
    ("size", "edges"), [(300, (0.0, 0.0)), (100, (0.4, 0.9))], ids=["a plain sample", "100 of each band"]
)
def test_bands_from_a_sample_of_the_images_keep_their_promise(size, edges):
    """200 samples of 1,500 images: of all images in a band more are wrong than promised in at most 5 % of them."""
    rng, broken, given = np.random.default_rng(5), np.zeros(2, int), np.zeros(2, int)
    targets, records = user(rng, 1500, 0.3, 3.0)
    p = np.array([one.probability for one in records])
    for _ in range(200):
        sample = drawn_by_band(rng, records, size, edges)
        decided = decided_rightly(sample, targets)
        policy = calibrated_policy(records, decided, sample, **LIMITS)
        bands = policy.bands.decide(policy.calibrated(p))
        for n, (band, wrong, limit) in enumerate(((REJECT, 0, 0.1), (KEEP, 1, 0.05))):
            inside = targets[bands == band]
            given[n] += len(inside) > 0
            broken[n] += len(inside) > 0 and (inside == wrong).mean() > limit
    assert (broken <= most(0.05, 200)).all()
    assert given.max() > 100


def test_what_is_not_decided_counts_as_wrong():
    rng = np.random.default_rng(0)
    targets, records = user(rng, 2000, 0.3, 6.0)
    sample = drawn_by_band(rng, records, 300, (0.0, 0.0))
    decided = decided_rightly(sample, targets)
    assert calibrated_policy(records, decided, sample, **LIMITS).certified
    half = dict(list(decided.items())[::2])
    policy = calibrated_policy(records, half, sample, **LIMITS)
    assert policy.edges() == (None, None) and "150 of the 300 images drawn are decided" in policy.sentences()[-2]
    assert "look at a larger sample (--audit N without --calibrate" in policy.sentences()[-1]


def test_picked_images_calibrate_but_certify_nothing():
    """A detector that is overconfident and calls everything an artifact is put right; no promise without a sample."""
    rng = np.random.default_rng(0)
    targets, records = user(rng, 2000, 0.2, 3.0)
    for record in records:
        record.probability = float(1 / (1 + np.exp(-3 * (logit(record.probability) + 1))))
    decided = {(str(n), "s"): REJECT if targets[n] else KEEP for n in range(600)}
    policy = calibrated_policy(records, decided, None, **LIMITS)
    given = np.array([one.probability for one in records])
    right = logit(policy.calibrated(given))
    assert policy.temperature > 0.8 and right[targets == 0].mean() < -1
    assert policy.bands == NO_BANDS or policy.edges() == (None, None)
    assert "no random sample" in " ".join(policy.sentences())
    assert [one.probability for one in policy.calibrate_all(records)] == policy.calibrated(given).tolist()


def test_a_sample_by_band_needs_the_scores_that_it_was_drawn_with():
    rng = np.random.default_rng(0)
    targets, records = user(rng, 500, 0.3, 3.0)
    sample = drawn_by_band(rng, records, 60, (0.4, 0.9))
    decided = decided_rightly(sample, targets)
    for record in records:
        record.probability = 1 - record.probability
    assert "scores that have changed" in " ".join(calibrated_policy(records, decided, sample, **LIMITS).sentences())


@pytest.mark.parametrize("said", [{("b", "s"): KEEP}, {("a", "s"): REVIEW}, {}], ids=["other", "unsure", "none"])
def test_decisions_that_decide_nothing_here_are_refused(said):
    with pytest.raises(PolicyError, match="no image of these was decided"):
        calibrated_policy([Record("a", -1, 1, 1, sha256="s", probability=0.5)], said, None, **LIMITS)


@pytest.mark.parametrize("change", ["new", "gone", "changed"])
def test_a_sample_of_other_images_certifies_nothing(change):
    rng = np.random.default_rng(0)
    targets, records = user(rng, 2000, 0.3, 6.0)
    sample = drawn_by_band(rng, records, 300, (0.0, 0.0))
    decided = decided_rightly(sample, targets)
    other = next(record for record in records if key_of(record) not in decided)
    if change == "new":
        records.append(replace(other, path="new"))
    elif change == "gone":
        records.remove(other)
    else:
        other.sha256 = "t"
    policy = calibrated_policy(records, decided, sample, **LIMITS)
    assert policy.edges() == (None, None) and not policy.certified
    assert "since the sample was drawn: draw another one with --audit" in " ".join(policy.sentences())


def test_a_further_sample_says_what_all_promises_are_worth():
    rng = np.random.default_rng(0)
    targets, records = user(rng, 2000, 0.3, 6.0)
    sample = replace(drawn_by_band(rng, records, 300, (0.0, 0.0)), earlier=1)
    decided = decided_rightly(sample, targets)
    policy = calibrated_policy(records, decided, sample, **LIMITS)
    assert policy.certified and "sample 2" in policy.sentences()[-1] and "up to 20%" in policy.sentences()[-1]
