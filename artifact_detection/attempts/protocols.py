"""How attempts are run: in full on a GPU, or small, on two CPU cores in an hour and a half."""

import hashlib
import json
from dataclasses import dataclass, field
from fnmatch import fnmatch

from artifact_detection.attempts.catalogue import Attempt
from artifact_detection.training.config import TrainConfig


@dataclass(frozen=True)
class Protocol:
    """What all attempts of a table have in common.

    settings: what replaces the recipe's. size, rate, length: factors of every image size, learning rate and number of
    epochs.
    seeds: how many each attempt gets; repeated: patterns of names of those that get `repeats` of them;
    chosen: names of those that do because they did well with their first one, which is no evidence then.
    """

    name: str
    text: str
    settings: dict = field(default_factory=dict)
    size: float = 1.0
    rate: float = 1.0
    length: float = 1.0
    folds: int = 5
    seeds: int = 3
    repeated: tuple[str, ...] = ()
    repeats: int = 3
    chosen: tuple[str, ...] = ()

    def settings_of(self, attempt: Attempt) -> dict:
        """What `model_training.py` gets for an attempt, beside the data, the weights and the seed."""
        meant = TrainConfig(**attempt.settings)
        scaled = {
            "image_size": round(meant.image_size * self.size),
            "lr": float(f"{meant.lr * self.rate:.6g}"),
            "epochs": round(meant.epochs * self.length),
        }
        return attempt.settings | scaled | self.settings

    def seeds_of(self, attempt: Attempt) -> int:
        return self.repeats if any(fnmatch(attempt.name, pattern) for pattern in self.repeated) else self.seeds

    def left_out(self, attempt: Attempt) -> str:
        """Why an attempt is not run under this protocol, "" if it is: a fixed setting leaves no choice of it."""
        fixed = [name for name in self.settings if name in attempt.settings]
        return f"{', '.join(fixed)} is {', '.join(str(self.settings[name]) for name in fixed)} here" if fixed else ""


PROTOCOLS = {
    "full": Protocol("full", "the recipe as it is: VGG-19 at 224 px from ImageNet weights; wants a GPU"),
    "small": Protocol(
        "small",
        "MobileNetV2 from ImageNet weights in place of VGG-19, 3/7 of the image size (96 px), 20 times the learning "
        "rate, a fifth of the epochs (4); for a CPU",
        {"arch": "mobilenet_v2", "precision": "fp32"},  # bfloat16 is slower for this network on a CPU
        size=3 / 7,
        rate=20,
        length=1 / 5,
        folds=3,
        seeds=1,
        # focal loss and oversampling: both, one, the other, neither; neither, but as many steps as with both; what did
        # best with one seed; and the other augmentation, which is to become the usual one if it does as well
        repeated=("01-*", "20-*", "27-*", "28-*", "34-*", "33-*", "37-*"),
        chosen=("33-crop-face",),
    ),
}


@dataclass(frozen=True)
class Job:
    """One training of an attempt on all folds, with one seed."""

    protocol: Protocol
    attempt: Attempt
    seed: int
    folds: int

    @property
    def digest(self) -> str:
        """Changes when the settings do; then a result that is there already is of another job."""
        text = json.dumps([self.protocol.settings_of(self.attempt), self.folds], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @property
    def key(self) -> dict:
        """What names the job in results.csv."""
        return {"protocol": self.protocol.name, "attempt": self.attempt.name, "seed": self.seed}

    @property
    def name(self) -> str:
        return f"{self.attempt.name}-s{self.seed}"


def plan(
    protocol: Protocol, attempts: list[Attempt], only: str = "*", seeds: int | None = None, folds: int | None = None
) -> list[Job]:
    """The jobs of a protocol. Attempts with most seeds come first: they tell what chance does to all the others."""
    jobs = []
    for attempt in attempts:
        if fnmatch(attempt.name, only) and not protocol.left_out(attempt):
            of_each = range(seeds or protocol.seeds_of(attempt))
            jobs += [Job(protocol, attempt, seed, folds or protocol.folds) for seed in of_each]
    return sorted(jobs, key=lambda job: (-protocol.seeds_of(job.attempt), job.seed, job.attempt.name))
