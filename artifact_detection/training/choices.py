"""What is chosen on validation and said so: the threshold."""

import sys

from artifact_detection.detector import checkpoints
from artifact_detection.evaluation import thresholds


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
