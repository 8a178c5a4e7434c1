"""The attempts: one TOML file each, in model-training-attempts/, with what differs from the recipe.

The recipe is `TrainConfig`'s defaults. 00-*.toml are no attempts: the demo and the detector that ships are other
questions altogether.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from artifact_detection.system.paths import ROOT
from artifact_detection.training.config import ConfigError, TrainConfig, read_toml

FOLDER = ROOT / "model-training-attempts"
RECIPE = "01-recipe"
GROUPS = {
    "networks": ("arch",),
    "frozen layers": ("freeze",),
    "optimisation": ("optimizer", "schedule"),
    "augmentation": ("augmentation", "augment_by"),
    "class imbalance": ("oversampling", "class_weights"),
    "loss": ("loss", "focal_gamma", "focal_alpha"),
    "input": ("image_size", "inject", "crop"),
    "length": ("epochs",),
}  # group -> the settings that put an attempt into it; the first that fits


@dataclass(frozen=True)
class Attempt:
    """One file: its stem, what differs from the recipe, and its header's fields by lower-case name."""

    name: str
    settings: dict
    header: dict[str, str]

    @property
    def group(self) -> str:
        return next((group for group, keys in GROUPS.items() if self.settings.keys() & set(keys)), "recipe")

    @property
    def changes(self) -> str:
        return ", ".join(f"{name} = {value}" for name, value in self.settings.items()) or "nothing"


def read_attempts(folder: Path = FOLDER) -> list[Attempt]:
    """The attempts of a folder by number. Raises ConfigError for a file that is no valid configuration."""
    files = [path for path in sorted(folder.glob("[0-9][0-9]-*.toml")) if not path.name.startswith("00")]
    return [Attempt(path.stem, checked(path), read_header(path.read_text(encoding="utf-8"))) for path in files]


def checked(path: Path) -> dict:
    """The settings of a file, refused before anything is trained if one of them makes no sense."""
    settings = read_toml(path)
    try:
        TrainConfig(**settings)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return settings


def read_header(text: str) -> dict[str, str]:
    """`# Question: ...` to {"question": "..."}, lines that go on (indented further) included."""
    comments = "\n".join(line for line in text.splitlines() if line.startswith("#"))
    found = re.findall(r"^# (\w+): +(.+(?:\n# {5,}.+)*)", comments, flags=re.MULTILINE)
    return {name.lower(): re.sub(r"\n# +", " ", value) for name, value in found}
