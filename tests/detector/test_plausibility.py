"""Crafted values in a checkpoint are refused by name; see detector/plausibility.py."""

import pytest
import torch

from artifact_detection.detector.checkpoints import CheckpointError, make_checkpoint, read_checkpoint
from artifact_detection.detector.weights import build_model
from artifact_detection.images.transforms import Preprocessing


@pytest.fixture(scope="module")
def checkpoint():
    scores = {"validation_targets": torch.tensor([0.0, 1.0]), "validation_probabilities": torch.tensor([0.1, 0.9])}
    return make_checkpoint(build_model("mobilenet_v3_small", "none", Preprocessing(32))) | scores


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("temperature", [-1.0, 0.0, float("nan"), "1", True, torch.ones(3)]),
        ("threshold", [float("nan"), 1.5, -0.1, "0.5", None]),
        ("shift", [float("inf"), "0"]),
        ("preprocessing", [[1]]),
        ("default_bands", [0.5, {"keep": 0.5}, {"keep": "0", "reject": 1.0, "source": ""}]),
        ("size", [0, -5, 10**6, 1.5, "big"]),
        ("mean", [[0.5], "abc", [0.1, 0.2, float("nan")]]),
        ("std", [[0.0, 0.1, 0.1], None]),
        ("validation_targets", [torch.tensor([0.0]), [0, 1], torch.tensor([0.0, 7.0]), torch.zeros(1, 2)]),
        ("validation_injected", [torch.zeros(2), None, "no"]),
        ("validation_probabilities", [torch.tensor([0.1, float("nan")]), torch.tensor([0.1, 3.0])]),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_name(checkpoint, tmp_path, name, values):
    torch.save(checkpoint, tmp_path / "best.pt")
    assert read_checkpoint(tmp_path / "best.pt")["threshold"] == 0.5
    for value in values:
        inner = {"preprocessing": {**checkpoint["preprocessing"], name: value}}
        torch.save(checkpoint | (inner if name in ("size", "mean", "std") else {name: value}), tmp_path / "best.pt")
        with pytest.raises(CheckpointError, match=name.split("_")[0]):
            read_checkpoint(tmp_path / "best.pt")
