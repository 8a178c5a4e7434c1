"""The TOML files of model-training-attempts/, and what runs them."""

import functools
import json

import pytest
import torch

import model_training
from artifact_detection.attempts.catalogue import GROUPS, RECIPE, Attempt, read_attempts
from artifact_detection.attempts.protocols import PROTOCOLS, plan
from artifact_detection.detector import models, weights
from artifact_detection.images.transforms import Preprocessing
from artifact_detection.system.processes import ALONE
from artifact_detection.training.config import TrainConfig
from tests.training.test_trainer import toy_images

ATTEMPTS = read_attempts()
NAMES = [attempt.name for attempt in ATTEMPTS]


@functools.cache
def network(arch: str, preprocessing: Preprocessing, regions: bool) -> models.Detector:
    return weights.build_model(arch, "none", preprocessing, regions)


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=NAMES)
def test_header_says_what_for_and_how(attempt):
    assert {"question", "cost", "command"} <= attempt.header.keys()
    assert attempt.header["question"].endswith((".", "?"))
    program, _, flags = attempt.header["command"].partition(" --")
    assert program == "python -m artifact_detection.attempts" and flags.endswith(f"--only {attempt.name}")
    if attempt.name != RECIPE:
        compared = attempt.header["compares"].split(", ")
        assert compared[0] == RECIPE and set(compared) <= set(NAMES) - {attempt.name}


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=NAMES)
def test_one_change_against_the_recipe(attempt):
    defaults = TrainConfig()
    assert all(value != getattr(defaults, name) for name, value in attempt.settings.items())
    assert (attempt.settings == {}) == (attempt.name == RECIPE)
    assert attempt.name == RECIPE or attempt.group in GROUPS


def test_there_are_enough_and_no_two_are_the_same():
    assert len(ATTEMPTS) >= 18
    assert len({json.dumps(attempt.settings, sort_keys=True) for attempt in ATTEMPTS}) == len(ATTEMPTS)


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=NAMES)
def test_every_attempt_takes_a_step(attempt):
    fixed = {"weights": "none", "image_size": 32, "batch_size": 8, "workers": 0, "device": "cpu", "precision": "fp32"}
    config = TrainConfig(**(attempt.settings | fixed))
    preprocessing = Preprocessing(config.image_size, crop=config.crop)
    model = network(config.arch, preprocessing, config.with_regions)
    model.freeze(config.freeze)
    trainer = model_training.build_trainer(config, model, toy_images(), ALONE)
    before = [weight.detach().clone() for weight in model.parameters() if weight.requires_grad]
    assert trainer.step(*next(iter(trainer.loader))).isfinite()
    after = [weight for weight in model.parameters() if weight.requires_grad]
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))


def test_small_keeps_what_it_cannot_vary_and_scales_the_rest():
    small = PROTOCOLS["small"]
    by_name = {attempt.name: attempt for attempt in ATTEMPTS}
    assert small.left_out(by_name["02-vgg16"]) == "arch is mobilenet_v2 here"
    settings = small.settings_of(by_name["31-image-size-320"])
    assert settings["image_size"] == round(320 * small.size) and settings["arch"] == "mobilenet_v2"
    assert small.settings_of(by_name["13-sgd"])["lr"] == pytest.approx(5e-3 * small.rate)
    assert small.settings_of(by_name["34-oversampling-none-longer"])["epochs"] == round(36 * small.length)
    jobs = plan(small, ATTEMPTS)
    repeated = {name for name in NAMES if name[:2] in ("01", "20", "27", "28", "33", "34", "37")}
    assert {job.attempt.name for job in jobs if job.seed == 2} == {job.attempt.name for job in jobs[:21]} == repeated
    assert [job.name for job in plan(small, ATTEMPTS, only="27-*", seeds=2)] == ["27-bce-s0", "27-bce-s1"]


def test_full_is_the_recipe_itself():
    settings = PROTOCOLS["full"].settings_of(ATTEMPTS[0])
    assert TrainConfig(**settings) == TrainConfig()
    assert not any(PROTOCOLS["full"].left_out(attempt) for attempt in ATTEMPTS)


def test_settings_names_an_attempt_by_its_first_group():
    assert Attempt("x", {"weight_decay": 0.1, "optimizer": "adamw"}, {}).group == "optimisation"
