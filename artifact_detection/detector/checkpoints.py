"""Checkpoints: what best.pt holds, read without running any code from it. Nobody else spells its keys."""

import re
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.special import expit

from artifact_detection.detector.models import Detector, empty_model
from artifact_detection.detector.plausibility import implausible
from artifact_detection.images.transforms import Preprocessing
from artifact_detection.labels import CLASSES, FAMILIES

FORMAT = 2
NEEDED = {"format", "arch", "preprocessing", "classes", "temperature", "shift", "threshold", "model"}
CHOOSES, CERTIFIES, REPEATS = range(3)  # an image's part in validation; one that repeats a certifying one has none
PROBE = 64  # pixels of the side of a picture that a network is tried with
DIGITS = 6  # of a probability; the arithmetic has no more


class CheckpointError(Exception):
    """A file that is not a checkpoint of this project, or not one that can be loaded safely."""


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
    def of(cls, values: dict) -> "Validation | None":
        """What a checkpoint says, None if it does not say. One that knows no parts has chosen on all its images."""
        if not {"validation_targets", "validation_probabilities"} <= values.keys():
            return None
        targets = values["validation_targets"].numpy().astype(int)
        probabilities = values["validation_probabilities"].numpy().astype(np.float64).round(DIGITS)
        parts = values.get("validation_parts", torch.full(targets.shape, CHOOSES)).numpy()
        return cls(targets, probabilities, parts, values.get("validation_injected", False))


@dataclass(frozen=True)
class DefaultBands:
    """Keep below the one probability, reject from the other on, where nothing can be promised; source: their origin."""

    keep: float
    reject: float
    source: str


@dataclass(frozen=True)
class Checkpoint:
    """What is known of a trained network.

    P(artifacts) is sigmoid(logit / temperature); `shift` is in the last bias already. threshold: artifacts from this
    probability on. epoch: of the weights, from 1. fingerprint: of the images that it learned from.
    """

    temperature: float = 1.0
    shift: float = 0.0
    threshold: float = 0.5
    epoch: int | None = None
    fingerprint: str | None = None
    default_bands: DefaultBands | None = None
    validation: Validation | None = None

    def values(self) -> dict:
        """As the file holds it: without what is not known."""
        plain = {name: value for name, value in vars(self).items() if value is not None and name != "validation"}
        if self.default_bands:
            plain["default_bands"] = asdict(self.default_bands)
        return plain | (self.validation.values() if self.validation else {})

    @classmethod
    def of(cls, values: dict) -> "Checkpoint":
        """Reads files of before some of these were written, too. Raises TypeError for default bands that are none."""
        plain = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        if bands := plain.get("default_bands"):
            plain["default_bands"] = DefaultBands(**bands)
        return cls(**plain | {"validation": Validation.of(values)})


def probabilities(logits: np.ndarray, temperature: float) -> np.ndarray:
    """P(artifacts), (N,) float64 rounded to DIGITS, of a checkpoint's logits (N,)."""
    return expit(np.asarray(logits, np.float64) / temperature).round(DIGITS)


def make_checkpoint(model: Detector, **values) -> dict:
    """What a checkpoint holds: tensors and plain values only, enough to score images without any other file.

    values: the fields of Checkpoint.
    """
    return {
        "format": FORMAT,
        "arch": model.arch,
        "preprocessing": model.preprocessing.to_dict(),
        "classes": list(CLASSES),
        "regions": list(FAMILIES) if model.has_regions else [],
        "model": model.state_dict(),
        **Checkpoint(**values).values(),
    }


def load_tensors(path: str | Path) -> dict:
    """A saved dict of tensors and plain values; no code from the file is run. Raises CheckpointError otherwise."""
    try:
        broken = None
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as records:
                broken = records.testzip()  # torch does not look at their checksums
        values = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"no such file: {path}") from None
    except (PermissionError, IsADirectoryError) as error:
        raise CheckpointError(f"{path}: {error.strerror}") from None
    except Exception as error:  # of many types: any bytes are read as a program of pickle's
        # Its first sentence: the next ones advise to run the file's code.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0]
        raise CheckpointError(f"{path} refused: damaged, or more than tensors and plain values ({reason})") from error
    if broken:
        raise CheckpointError(f"{path} refused: damaged, the checksum of its part {broken} is wrong")
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} refused: it holds a {type(values).__name__}, not a dict")
    return values


def read_state(path: str | Path) -> dict:
    """The weights by name, of a checkpoint or of a torchvision state dict. Raises CheckpointError."""
    values = load_tensors(path)
    return unwrapped(_checked(values, path)["model"] if "format" in values else values)


def read_checkpoint(path: str | Path) -> dict:
    """A checkpoint as `make_checkpoint` wrote it; raises CheckpointError with the reason for anything else."""
    return _checked(load_tensors(path), path)


def _checked(values: dict, path: str | Path) -> dict:
    if missing := NEEDED - values.keys():
        raise CheckpointError(f"{path} is no checkpoint of this project: {', '.join(sorted(missing))} missing")
    if values["classes"] != list(CLASSES) or values["format"] != FORMAT:
        found = f"classes {values['classes']}, format {values['format']}"
        raise CheckpointError(f"{path} cannot be used: {found}; needed: {list(CLASSES)}, {FORMAT}")
    if wrong := implausible(values):
        raise CheckpointError(f"{path} cannot be used: {wrong}")
    return values


def load_checkpoint(path: str | Path) -> tuple[Detector, Checkpoint]:
    """The model of a checkpoint, in evaluation mode on the CPU, and what else is known of it.

    Raises CheckpointError if the file is unsafe, damaged, of another project or of another architecture.
    """
    values = read_checkpoint(path)
    try:
        families = values.get("regions", [])  # absent before there were dense heads
        if families not in ([], list(FAMILIES)):
            raise ValueError(f"its maps are of the families {', '.join(map(str, families))}")
        preprocessing = Preprocessing.from_dict(values["preprocessing"])
        model = empty_model(values["arch"], preprocessing, bool(families))
        state = unwrapped(values["model"])
        if len(state) < len(values["model"]):
            raise ValueError("it has two tensors of one name")
        if wrong := misfits(model.state_dict(), state):
            raise ValueError(f"{values['arch']} differs in {len(wrong)} tensors, e.g. {wrong[0]}")
        model.load_state_dict(state)
        checkpoint = Checkpoint.of(values)
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise CheckpointError(f"{path} does not fit its own description: {str(error).splitlines()[0]}") from error
    broken = [name for name, value in state.items() if not torch.isfinite(value).all()]
    if broken:
        raise CheckpointError(f"{path} cannot score: {len(broken)} tensors hold NaN or infinity, e.g. {broken[0]}")
    if not _gives_numbers(model.eval()):
        raise CheckpointError(f"{path} cannot score: its network gives NaN or infinity for a grey picture")
    return model, checkpoint


@torch.inference_mode()
def _gives_numbers(model: Detector) -> bool:
    return bool(torch.isfinite(model(torch.full((1, 3, PROBE, PROBE), 128, dtype=torch.uint8))).all())


def unwrapped(state: dict) -> dict:
    """A state dict without the prefixes that DataParallel (`module.`) and torch.compile (`_orig_mod.`) put before.

    A part that was wrapped alone has them inside its names.
    """
    return {re.sub(r"(?<![^.])(module|_orig_mod)\.", "", name): value for name, value in state.items()}


def misfits(own: dict, state: dict) -> list[str]:
    """What keeps a state dict from being loaded in place of one's own, a text for each tensor."""
    missing = [f"{name} is missing" for name in own if name not in state]
    extra = [f"{name} is unknown" for name in state if name not in own]
    both = [(name, _kind(value), _kind(own[name])) for name, value in state.items() if name in own]
    return [*missing, *extra, *(f"{name} is {found}, not {needed}" for name, found, needed in both if found != needed)]


def _kind(value: object) -> str:
    """What of a tensor has to fit: its shape, and that it holds numbers like those of a network."""
    if not isinstance(value, torch.Tensor):
        return f"a {type(value).__name__}"
    is_plain = value.layout == torch.strided and not value.is_quantized and not value.is_complex()
    numbers = "" if value.is_floating_point() and is_plain else f" of {value.dtype} {value.layout}"
    return f"{tuple(value.shape)}{numbers}"
