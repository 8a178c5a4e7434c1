import math

import pytest

from artifact_detection.labels import (
    ARTIFACT,
    CLASSES,
    CLEAN,
    Prevalence,
    check_words,
    class_numbers,
    compile_pattern,
    parse_label,
)


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
        ("BAD-3.png", "bad", ARTIFACT),
        ("artifact-3.png", "bad", ARTIFACT),
        ("yes-3.png", "no", CLEAN),
        ("fine-3.png", "1", None),
        ("3.png", "bad", None),
    ],
)
def test_which_text_means_artifact_is_a_setting(name, artifact_label, label):
    pattern = r"^(?P<label>[A-Za-z]+)-" if "-" in name or name == "3.png" else r"_(?P<label>\d)\."
    assert parse_label(name, compile_pattern(pattern), artifact_label) == label


@pytest.mark.parametrize("pattern", ["(", r"_(\d)", r"_(?P<other>\d)"])
def test_a_pattern_that_can_name_no_label_is_refused(pattern):
    with pytest.raises(ValueError, match="--pattern"):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    ("labels", "inverted"), [([0, 0, 1], False), ([0, 1], False), ([0, 1, 1], True), ([1], True), ([], False)]
)
def test_a_majority_of_artifacts_looks_inverted(labels, inverted):
    assert Prevalence.of(labels).looks_inverted is inverted


def test_prevalence_is_a_share():
    assert Prevalence.of([1, 0, 0, 0]).share == 0.25
    assert math.isnan(Prevalence.of([]).share)


@pytest.mark.parametrize(("name", "label"), [("a-clean.png", 0), ("a-Artifacts.png", 1), ("a-cat.png", None)])
def test_plain_words_in_a_name_are_read_and_others_say_nothing(name, label):
    assert parse_label(name, compile_pattern(r"-(?P<label>\w+)")) == label


@pytest.mark.parametrize(
    ("words", "artifact_label", "numbers"),
    [
        ("bad fine", "bad", [ARTIFACT, CLEAN]),
        (" Bad  FINE ", "bad", [ARTIFACT, CLEAN]),
        ("bad clean artifacts", "bad", [ARTIFACT, CLEAN, ARTIFACT]),
        ("1 artifacts", "1", [ARTIFACT, ARTIFACT]),
        ("0 artifacts", "0", [ARTIFACT, ARTIFACT]),
        ("0 1 clean", "0", [ARTIFACT, CLEAN, CLEAN]),
        ("yes no", "no", [CLEAN, ARTIFACT]),
        ("1 2", "1", [ARTIFACT, CLEAN]),
        ("FALSE TRUE", "FALSE", [ARTIFACT, CLEAN]),
        ("0 TRUE", "0", [ARTIFACT, CLEAN]),
        ("FALSE TRUE", "0", None),
        ("bad fine odd", "bad", None),
        ("fine odd", "bad", None),
        ("glitch bad", "glitch", None),
        ("no clean", "no", None),
        ("yes", "no", None),
        ("1 2", None, None),
    ],
)
def test_words_that_are_unknown_are_refused_by_name(words, artifact_label, numbers):
    if numbers:
        assert class_numbers(words.split(), artifact_label) == numbers
    else:
        with pytest.raises(ValueError, match=rf"{words.split()[0]}.*--artifact-label"):
            class_numbers(words.split(), artifact_label)


def test_a_third_word_in_file_names_is_refused_by_name():
    pattern = compile_pattern(r"-(?P<label>[a-z]+)")
    check_words(["a-fine.png", "b-bad.png", "no label.png"], pattern, "bad")
    with pytest.raises(ValueError, match="fine, odd"):
        check_words(["a-fine.png", "b-bad.png", "c-odd.png"], pattern, "bad")
