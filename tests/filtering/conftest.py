from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import expit

from artifact_detection.detector.checkpoints import CERTIFIES, CHOOSES, Validation, make_checkpoint
from artifact_detection.detector.weights import build_model
from artifact_detection.images.transforms import Preprocessing, evaluation_transform
from tests.filtering.runs import portrait, write_image


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """A small random network whose probabilities spread from 0 to 1, with made-up validation scores."""
    torch.manual_seed(0)
    network = build_model("mobilenet_v3_small", "none", Preprocessing(32)).train()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            layer.momentum = 0.5
    images = torch.stack([evaluation_transform(portrait(seed), network.preprocessing) for seed in range(40)])
    with torch.no_grad():
        for _ in range(12):
            network(images)
        logits = network.eval()(images)
        network.head[-2].bias -= logits.median()
    rng = np.random.default_rng(0)
    targets = np.repeat([0.0, 1.0], [900, 300])
    scores = expit(rng.normal(np.where(targets == 1, 2.5, -2.5), 1.5))  # half of each score like the images below
    path = tmp_path_factory.mktemp("model") / "best.pt"
    checkpoint = make_checkpoint(
        network,
        temperature=float(logits.std() / 3),
        validation=Validation(targets.astype(int), scores, np.where(np.arange(1200) % 2, CHOOSES, CERTIFIES)),
    )
    torch.save(checkpoint, path)
    return path


@pytest.fixture
def images(tmp_path) -> Path:
    """Twenty images in two folders, and three files that are none."""
    folder = tmp_path / "images"
    for n in range(20):
        write_image(folder / ("" if n % 2 else "deep") / f"{n:02d}.png", n)
    (folder / "empty.png").touch()
    (folder / "half.png").write_bytes((folder / "01.png").read_bytes()[:-60])
    (folder / "caption.txt").write_text("a person")
    return folder
