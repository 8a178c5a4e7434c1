import math

import pytest

from artifact_detection.labels import ARTIFACT, CLASSES, CLEAN, Prevalence, compile_pattern, parse_label


def test_the_positive_class_is_artifacts():
    assert CLASSES == ("no_artifacts", "artifacts")
    assert (CLASSES[CLEAN], CLASSES[ARTIFACT]) == CLASSES


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("image_00002_1.png", ARTIFACT),
        ("image_00002_0.png", CLEAN),
        ("image_00002_1.JPEG", ARTIFACT),
        ("a_1_b_0.tif", CLEAN),
        ("two words_1.png", ARTIFACT),
        ("Füße 面_1.webp", ARTIFACT),
        ("dots.in.name_1.png", ARTIFACT),
        ("folder_1/image_0.png", CLEAN),
        ("image_00002.png", None),
        ("image_00002_11.png", None),
        ("image_00002_1_copy.png", None),
        ("image_1", None),
        ("holiday_7.png", None),
        ("image_\u0661.png", None),
    ],
)
def test_the_label_is_the_last_digit_before_the_extension(name, label):
    assert parse_label(name, compile_pattern()) == label


@pytest.mark.parametrize(
    ("name", "artifact_label", "label"),
    [
        ("image_00002_0.png", "0", ARTIFACT),
        ("image_00002_1.png", "0", CLEAN),
        ("image_00002_2.png", "0", None),
        ("bad-3.png", "bad", ARTIFACT),
        ("fine-3.png", "bad", CLEAN),
        ("fine-3.png", "1", None),
        ("3.png", "bad", None),
    ],
)
def test_which_text_means_artifact_is_a_setting(name, artifact_label, label):
    pattern = r"^(?P<label>[a-z]+)-" if "-" in name or name == "3.png" else r"_(?P<label>\d)\."
    assert parse_label(name, compile_pattern(pattern), artifact_label) == label


@pytest.mark.parametrize("pattern", ["(", r"_(\d)", r"_(?P<other>\d)"])
def test_a_pattern_that_can_name_no_label_is_refused(pattern):
    with pytest.raises(ValueError, match="--pattern"):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    ("labels", "inverted"),
    [([0, 0, 1], False), ([0, 1], False), ([0, 1, 1], True), ([1], True), ([], False)],
)
def test_a_majority_of_artifacts_looks_inverted(labels, inverted):
    assert Prevalence.of(labels).looks_inverted is inverted


def test_prevalence_is_a_share():
    assert Prevalence.of([1, 0, 0, 0]).share == 0.25
    assert math.isnan(Prevalence.of([]).share)


@pytest.mark.parametrize(("name", "label"), [("a-clean.png", 0), ("a-Artifacts.png", 1), ("a-cat.png", None)])
def test_plain_words_in_a_name_are_read_and_others_say_nothing(name, label):
    assert parse_label(name, compile_pattern(r"-(?P<label>\w+)")) == label
