"""Make pretrained/detector.pt from a finished training: its last averaged weights, in half precision.

    python benchmarks/ready_ship.py --run runs/ready --dataset dataset-ready

The image's logit is joined anew from the head's and the mean of the map's top cells, by a logistic regression on the
training's own validation images, clean and with artifacts of fresh seeds: on images that it was trained on the head
is surer than on others, so that the training gives the map too little weight. The threshold and those of the filter's
default bands are where 3, 10 and 1 % of the clean faces among them, as they are and mirrored, would be false alarms.
No test face is looked at.
"""

import argparse
import sys
import tomllib
from pathlib import Path

import numpy as np
import torch
from project import ROOT
from ready_detector import evidence
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from artifact_detection.detector import checkpoints, models
from artifact_detection.detector.dense_head import top_mean
from artifact_detection.injection import inject_random
from artifact_detection.labels import ARTIFACT, CLEAN
from artifact_detection.training import data
from artifact_detection.training.config import TrainConfig

DRAWS = 4  # artifacts that each validation image gets, one at a time
FALSE_ALARMS = {"threshold": 0.03, "keep": 0.10, "reject": 0.01}  # of clean faces; kept below, rejected from there on


def last_model(run: Path) -> tuple[models.Detector, dict]:
    """The network of best.pt with the moving average after the last epoch, and the settings of the run."""
    model, _ = checkpoints.load_checkpoint(run / "best.pt")
    state = checkpoints.load_tensors(run / "last.pt")["trainer"]["average"]
    model.load_state_dict({name.removeprefix("module."): v for name, v in state.items() if name != "n_averaged"})
    tables = tomllib.loads((run / "config.toml").read_text())
    return model, {key: value for table in tables.values() for key, value in table.items()}


def validation_images(settings: dict, dataset: Path, model: models.Detector, cache: Path) -> data.ImageSet:
    """What the training validated on, whole and clean."""
    images = data.load_images(dataset, "train", model.preprocessing, cache)
    if images.fingerprint() != settings["fingerprint"]:
        raise SystemExit(f"{dataset} is not what the run was trained on")
    _, held_back = data.split_training(images, settings["validation"], settings["seed"], settings["inject"])
    return data.unfitted(images, model.preprocessing, cache).take(held_back)


def join(model: models.Detector, clean: list[np.ndarray], injected: list[np.ndarray]) -> None:
    """Fit what the head and the map weigh in the image's logit; P(artifact) is then that at even odds."""
    logits, maps = evidence(model, [*clean, *injected])
    tops = top_mean(torch.logit(torch.from_numpy(maps), 1e-6))  # (N, 1 + families)
    votes = model.dense.vote(tops).detach().numpy()[:, 0]
    features = np.column_stack([logits - votes, tops[:, 0].numpy()])
    targets = np.repeat([CLEAN, ARTIFACT], [len(clean), len(injected)])
    fit = LogisticRegression(C=10, class_weight="balanced").fit(features, targets)
    head, top = fit.coef_[0]
    print(f"logit = {head:.3f} head + {top:.3f} map {fit.intercept_[0]:+.3f}")
    with torch.no_grad():
        model.head[-2].weight.mul_(head)
        model.head[-2].bias.mul_(head).add_(float(fit.intercept_[0]))
        model.dense.vote.weight.zero_()[0, 0] = float(top)


def halved(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    values = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    assert all(value.isfinite().all() for value in values.values()), "a weight is too large for half precision"
    return values


def probabilities(model: models.Detector, images: list[np.ndarray]) -> np.ndarray:
    return expit(evidence(model, images)[0].astype(float))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="run folder of the training")
    parser.add_argument("--dataset", type=Path, required=True, help="what it was trained on")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache")
    parser.add_argument("--out", type=Path, default=ROOT / "pretrained/detector.pt")
    return parser.parse_args()


def main() -> int:
    options = parse_arguments()
    model, settings = last_model(options.run)
    images = validation_images(settings, options.dataset, model, options.cache)
    clean = [images[row] for row in range(len(images))]
    kinds = TrainConfig(inject_without=settings["inject_without"]).kinds
    rngs = (np.random.default_rng((settings["seed"], 2**43, draw)) for draw in range(DRAWS))
    injected = [
        inject_random(image, rng, kinds, evenly=settings["inject_evenly"])[0] for rng in rngs for image in clean
    ]
    if model.has_regions:
        join(model, clean, injected)
    state = halved(model.state_dict())
    model.load_state_dict(state)  # what will be loaded from the file

    drawn = [Path(path).name.startswith("portrait_") for path in images.table["path"]]
    faces = [image for image, portrait in zip(clean, drawn, strict=True) if not portrait]
    alarms = probabilities(model, [view for face in faces for view in (face, np.ascontiguousarray(face[:, ::-1]))])
    at = {name: float(np.quantile(alarms, 1 - share, method="higher")) for name, share in FALSE_ALARMS.items()}
    source = f"10 % and 1 % false alarms on {len(faces)} clean generated faces and their mirror images"
    scored = [*clean, *injected[: len(clean)]]
    targets = np.repeat([CLEAN, ARTIFACT], len(clean))
    values = {
        "threshold": at["threshold"],
        "default_bands": checkpoints.DefaultBands(at["keep"], at["reject"], source),
        "fingerprint": settings["fingerprint"],
        "validation": checkpoints.Validation(
            targets, probabilities(model, scored), np.full(len(targets), checkpoints.CHOOSES), True
        ),
    }
    options.out.parent.mkdir(exist_ok=True)
    torch.save(checkpoints.make_checkpoint(model, **values) | {"model": state}, options.out)
    checkpoints.load_checkpoint(options.out)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB; {at}; {source}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
