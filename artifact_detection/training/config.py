"""Training settings: the defaults once, then a TOML file with the differences, then flags.

Source of the idea: google-research/big_vision (unknown keys fail), nanoGPT (a config holds only what differs).
"""

import argparse
import dataclasses
import difflib
import math
import os
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from artifact_detection.detector.models import ARCHS, FREEZE
from artifact_detection.detector.plausibility import MAX_SIZE
from artifact_detection.evaluation.thresholds import parse_target
from artifact_detection.images.augmentation import PRESETS
from artifact_detection.images.transforms import AUGMENTATIONS, CROPS, INTERPOLATIONS
from artifact_detection.injection import EVENLY, KINDS, SEVERITIES
from artifact_detection.labels import FAMILIES
from artifact_detection.system.paths import ROOT
from artifact_detection.training.sampling import OVERSAMPLING
from artifact_detection.training.schedules import SCHEDULES

CLASS_WEIGHTS = ("none", "balanced")
REGIONS = ("auto", "on", "off")
AUGMENT_BY = ("auto", "torchvision", "matrices")


class ConfigError(Exception):
    """Settings that make no sense; the message names the key or flag."""


def _setting(default, text: str, group: str, choices: Sequence[str] | None = None):
    return field(default=default, metadata={"help": text, "group": group, "choices": choices})


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides the result of a training run. A field is a flag (`--batch-size`) and a TOML key."""

    dataset: str = _setting(str(ROOT / "dataset"), "folder with {train,test}/{artifacts,no_artifacts}/", "data")
    validation: float = _setting(0.2, "share of the training images kept for validation", "data")
    oversampling: str = _setting(
        "random", "how the minority class is repeated: to 1:1 (random), in every batch too (balanced), to the ratio of "
        "the roots of the class sizes (sqrt), or not at all", "data", OVERSAMPLING,
    )  # fmt: skip
    augmentation: str = _setting("heavy", "preset of random transformations", "data", tuple(AUGMENTATIONS))
    augment_by: str = _setting(
        "auto", "how a preset is applied: by torchvision, or by one matrix of place and one of colour, 13 times as "
        "fast; auto: torchvision, but matrices with regions and where the images lie on a GPU", "data", AUGMENT_BY,
    )  # fmt: skip
    inject: float = _setting(0.0, "probability that a clean training image gets a synthetic artifact", "data")
    inject_severity: int = _setting(1, "slightest injected artifacts: 1 slight, 2 plain, 3 gross", "data", SEVERITIES)
    inject_without: str = _setting(
        "none", "family of artifacts not injected, to see if it is found all the same", "data", ("none", *FAMILIES)
    )
    inject_evenly: str = _setting(
        "families", "what of the injected is as likely as the next: each family, or each kind", "data", EVENLY
    )
    vary: float = _setting(0.0, "share of the images whose proportions and colours are changed first", "data")
    restyle: float = _setting(
        0.0, "share of the images that are drawn in another style: paint, cartoon, grey, coloured light, rain", "data"
    )
    benign: float = _setting(0.0, "share of the images that get an edit that is no artifact", "data")
    degrade: float = _setting(0.0, "share of the images that go through scaling, noise and JPEG", "data")
    regions: str = _setting(
        "auto", "teach where injected artifacts are, and their family, by a dense head (auto: with --inject)", "data",
        REGIONS,
    )  # fmt: skip
    image_size: int = _setting(224, "pixels of the square that every image is resized to", "data")
    interpolation: str = _setting(
        "area", "how images are shrunk to it; antialias takes less than half of area's time", "data", INTERPOLATIONS
    )
    crop: str = _setting("full", "what the network sees: the full image, the face, or both side by side", "data", CROPS)

    arch: str = _setting("vgg19", "network", "model", ARCHS)
    weights: str = _setting(
        "imagenet", "imagenet, none, a torchvision state dict file, or a best.pt to go on from", "model"
    )
    freeze: str = _setting(
        "none", "what does not learn: nothing, all before the last block, the backbone", "model", FREEZE
    )

    epochs: int = _setting(20, "passes over the (oversampled) training images", "optimisation")
    patience: int = _setting(0, "stop after so many epochs without a better validation AP, 0 for never", "optimisation")
    batch_size: int = _setting(32, "images a step", "optimisation")
    optimizer: str = _setting("adam", "optimizer", "optimisation", ("adam", "adamw", "sgd"))
    lr: float = _setting(5e-5, "peak learning rate", "optimisation")
    weight_decay: float = _setting(0.0, "weight decay", "optimisation")
    schedule: str = _setting("warmup_cosine", "learning-rate schedule", "optimisation", tuple(SCHEDULES))
    warmup_epochs: float = _setting(1.0, "epochs of linear warm-up (warmup_cosine only)", "optimisation")
    loss: str = _setting("focal", "loss function", "optimisation", ("focal", "bce"))
    focal_gamma: float = _setting(2.0, "focal loss: how much easy examples are played down", "optimisation")
    focal_alpha: float = _setting(0.5, "focal loss: weight of the artifact class, 0 to 1", "optimisation")
    class_weights: str = _setting(
        "none", "balanced: weigh the classes by their rarity, in place of --focal-alpha", "optimisation", CLASS_WEIGHTS
    )
    clip: float = _setting(0.0, "largest gradient norm, 0 for no limit", "optimisation")
    ema: float = _setting(0.0, "decay of a moving average of the weights, 0 for none", "optimisation")
    target: str = _setting("f1", "goal of the threshold: f1, recall=R, precision=P or cost=FN:FP", "optimisation")

    seed: int = _setting(0, "seed of the split, the initial weights and every random draw", "machine")
    device: str = _setting("auto", "auto, cpu, cuda, cuda:1, mps", "machine")
    precision: str = _setting("auto", "arithmetic of the network", "machine", ("auto", "fp32", "bf16", "fp16"))
    compile: bool = _setting(False, "compile the network first (torch.compile; needs a C++ compiler)", "machine")
    workers: int = _setting(
        -1, "processes that prepare batches, -1 for automatic; none where the images fit on a GPU and are not painted "
        "on (batches in config.toml says so)", "machine",
    )  # fmt: skip

    def __post_init__(self):
        for setting in dataclasses.fields(self):
            value = getattr(self, setting.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"--{flag(setting.name)} must be a number, not {value}")
        if not 0 < self.validation < 1:
            raise ConfigError(f"--validation is a share above 0 and below 1, not {self.validation}")
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"--seed is a whole number from 0 to {2**32 - 1}, not {self.seed}")
        if self.workers < -1:
            raise ConfigError(f"--workers is at least 0, or -1 for automatic, not {self.workers}")
        for name in ("inject", "vary", "restyle", "benign", "degrade", "focal_alpha", "ema"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"--{flag(name)} is a share between 0 and 1, not {getattr(self, name)}")
        for name in ("epochs", "batch_size", "image_size", "lr"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"--{flag(name)} must be positive, not {getattr(self, name)}")
        for name in ("patience", "warmup_epochs", "focal_gamma", "weight_decay", "clip"):
            if getattr(self, name) < 0:
                raise ConfigError(f"--{flag(name)} cannot be negative")
        if self.image_size > MAX_SIZE:  # no checkpoint of a larger one is read again
            raise ConfigError(f"--image-size is at most {MAX_SIZE}, not {self.image_size}")
        if self.ema == 1:
            raise ConfigError("--ema 1 keeps the first weights for ever: choose a decay below 1")
        if self.batch_size < 2:
            raise ConfigError("--batch-size must be at least 2: batch norm cannot do with one image")
        if self.regions == "on" and not self._can_teach_regions:
            raise ConfigError("--regions on needs --inject, which makes masks, and --augmentation none, light or heavy")
        if self.augment_by == "matrices" and self.augmentation not in PRESETS:
            raise ConfigError(f"--augment-by matrices needs --augmentation {', '.join(PRESETS)}")
        if self.augment_by == "torchvision" and self.with_regions:
            raise ConfigError("--augment-by torchvision moves no masks: it needs --regions off")
        try:
            parse_target(self.target)
        except ValueError as error:
            raise ConfigError(f"--target: {error}") from error
        for setting in dataclasses.fields(self):
            choices = setting.metadata["choices"]
            if choices and getattr(self, setting.name) not in choices:
                raise ConfigError(f"{setting.name} = {getattr(self, setting.name)!r}: choose from {', '.join(choices)}")

    @property
    def kinds(self) -> tuple[str, ...]:
        """Of the artifacts that --inject puts in, for training and for validation."""
        return tuple(kind for kind, family in KINDS.items() if family != self.inject_without)

    @property
    def _can_teach_regions(self) -> bool:
        return self.inject > 0 and self.augmentation in PRESETS

    @property
    def with_regions(self) -> bool:
        return self.regions != "off" and self._can_teach_regions


def flag(name: str) -> str:
    return name.replace("_", "-")


def read_toml(path: Path) -> dict:
    """The settings that a TOML file changes; raises ConfigError for a broken file, an unknown key or a wrong type."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"cannot read --config {path}: {error}") from error
    defaults = {setting.name: setting.default for setting in dataclasses.fields(TrainConfig)}
    for name, value in values.items():
        if name not in defaults:
            near = difflib.get_close_matches(name, defaults, n=1, cutoff=0.0)[0]
            raise ConfigError(f"{path}: unknown key {name!r}; the nearest known one is {near!r}")
        if isinstance(defaults[name], float) and type(value) is int:
            values[name] = float(value)
        elif type(value) is not type(defaults[name]):
            raise ConfigError(f"{path}: {name} must be {type(defaults[name]).__name__}, not {value!r}")
    return values


def add_flags(parser: argparse.ArgumentParser) -> None:
    """A flag for every setting, in groups; unset flags stay away from the namespace."""
    groups = {}
    for setting in dataclasses.fields(TrainConfig):
        title = setting.metadata["group"]
        group = groups.setdefault(title, parser.add_argument_group(title))
        choices, switch = setting.metadata["choices"], isinstance(setting.default, bool)
        form = {"action": argparse.BooleanOptionalAction} if switch else {"type": type(setting.default)}
        if not switch:
            form |= {"choices": choices, "metavar": None if choices else setting.name.upper()}
        text = f"{setting.metadata['help']} (default: {setting.default})"
        group.add_argument(f"--{flag(setting.name)}", **form, default=argparse.SUPPRESS, help=text)


def given_flags(arguments: argparse.Namespace) -> dict:
    names = {setting.name for setting in dataclasses.fields(TrainConfig)}
    return {name: value for name, value in vars(arguments).items() if name in names}


def merge(file: Path | None, flags: dict) -> TrainConfig:
    """Defaults < file < flags; the dataset's path becomes absolute. Raises ConfigError."""
    values = (read_toml(file) if file else {}) | flags
    if "dataset" in values:
        values["dataset"] = os.path.abspath(values["dataset"])
    return TrainConfig(**values)
