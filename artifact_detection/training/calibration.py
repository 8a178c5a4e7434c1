"""What is scored in and after training, and what is chosen on validation: temperature, shift and threshold."""

import sys

import numpy as np

from artifact_detection.detector import checkpoints, models
from artifact_detection.detector.device import pick_device, pick_precision
from artifact_detection.detector.scoring import TorchEngine, run_all, usual_batch
from artifact_detection.evaluation import thresholds
from artifact_detection.images.transforms import to_tensor
from artifact_detection.system import run_files
from artifact_detection.system.processes import Crew
from artifact_detection.training import data
from artifact_detection.training.config import TrainConfig
from artifact_detection.training.runs import RunFolder


def score(model: models.Detector, images: data.ImageSet, config: TrainConfig, crew: Crew) -> np.ndarray:
    """Logits, (N,) float32, under the evaluation preset; each process scores its share and gets them all."""
    device = pick_device(config.device)
    engine = TorchEngine(model, device, pick_precision(config.precision, device))
    share = (to_tensor(images[row]) for row in range(crew.rank, len(images), crew.world))
    own = run_all(engine, share, usual_batch(device))
    logits = np.empty(len(images), np.float32)
    for rank, values in enumerate(crew.gather(own)):
        logits[rank :: crew.world] = values
    return logits


def calibrate(
    run: RunFolder, validation: data.ImageSet, parts: np.ndarray, injected: bool, config: TrainConfig, fingerprint: str
) -> None:
    """Fit temperature, shift and threshold on validation; store them in best.pt with the scores that they rest on.

    The shift, into the network's last bias, undoes what oversampling and injection did to the share of artifacts.
    """
    model, checkpoint = checkpoints.load_checkpoint(run.path / run_files.BEST)
    run.wait()  # for the others to have read it
    if checkpoint.validation:
        return  # by a run that was killed later
    logits = score(model, validation, config, run.crew)
    # On all parts: no order of scores changes by it, and no promise.
    temperature, shift = thresholds.fit_platt(validation.labels, logits)
    model.cpu().shift_logits(shift)
    probabilities = checkpoints.probabilities(logits + shift, temperature)
    evidence = checkpoints.Validation(validation.labels, probabilities, parts, injected)
    threshold = pick_threshold(evidence, config.target)
    best = checkpoints.make_checkpoint(
        model, epoch=checkpoint.epoch, fingerprint=fingerprint, temperature=temperature, shift=shift,
        threshold=threshold, validation=evidence,
    )  # fmt: skip
    run.write_predictions(run_files.VALIDATION, validation, probabilities, threshold)
    run.save(run_files.BEST, best)
    run.wait()


def pick_threshold(validation: checkpoints.Validation, target: str) -> float:
    """The threshold for --target: assured by images that chose nothing, or else the best on all, with its interval."""
    targets, probabilities = validation.targets, validation.probabilities
    if target.startswith(("recall", "precision")):
        certifies = validation.parts == checkpoints.CERTIFIES
        try:
            threshold = thresholds.assured_threshold(targets[certifies], probabilities[certifies], target)
            print(f"threshold {threshold:.4f}: {target} is assured, with 95% confidence, for images like validation's")
            return threshold
        except thresholds.ThresholdError as error:
            print(f"--target {target} cannot be assured for new images: {error}", file=sys.stderr)
    try:
        threshold = thresholds.choose_threshold(targets, probabilities, target)
    except thresholds.ThresholdError as error:
        print(f"no threshold for --target {target}: {error}. It stays at 0.5", file=sys.stderr)
        return 0.5
    print(f"threshold {threshold:.4f} for --target {target}: {thresholds.reached(targets, probabilities, threshold)}")
    return threshold
