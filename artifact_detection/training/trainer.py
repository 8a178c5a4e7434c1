"""The training loop: numbers in, numbers out."""

import copy
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from sklearn.metrics import average_precision_score, precision_score, recall_score, roc_auc_score
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from artifact_detection.detector.device import autocast, copied, of_any_length
from artifact_detection.system.processes import ALONE, Crew
from artifact_detection.training.losses import region_loss

OPTIMIZERS = {  # fused: one pass over the weights
    "adam": partial(torch.optim.Adam, fused=True),
    "adamw": partial(torch.optim.AdamW, fused=True),
    "sgd": partial(torch.optim.SGD, momentum=0.9, nesterov=True, fused=True),
}


KEPT = ("model", "average", "optimizer", "scheduler", "scaler")  # what of a trainer an interruption must not lose


class TrainingError(Exception):
    """Training that cannot go on; the message says why."""


class Interrupted(KeyboardInterrupt):
    """Training that was asked to stop; the trainer's state is that after its last whole step."""


def shared_model(model: nn.Module, crew: Crew) -> nn.Module:
    """What to call in place of the model in training; the model itself if there is one process.

    DistributedDataParallel (Li et al., arXiv 2006.15704) averages the gradients of the processes.
    """
    if crew.world == 1:
        return model
    if next(model.parameters()).is_cuda:
        nn.SyncBatchNorm.convert_sync_batchnorm(model)  # in place; on a CPU it does not run
    return DistributedDataParallel(model)


class OnTheWay:
    """Flags that the host gets from the device: `read` waits for them, not for what the device was told since."""

    def __init__(self, flags: torch.Tensor):
        self.flags = flags.to("cpu", non_blocking=flags.is_cuda)
        self.arrival = torch.cuda.Event() if flags.is_cuda else None
        if self.arrival:
            self.arrival.record()

    def read(self) -> list[bool]:
        if self.arrival:
            self.arrival.synchronize()
        return self.flags.tolist()


class Trainer:
    """A model in training, and everything that an interruption must not lose.

    Continued from `state()` it gives the weights of a run that was never interrupted, bit for bit on the CPU.
    """

    def __init__(
        self, model: nn.Module, loader: torch.utils.data.DataLoader, loss_function: nn.Module,
        optimizer: torch.optim.Optimizer, schedule: Callable[[int], float], *, seed: int, dtype: torch.dtype,
        ema: float = 0.0, clip: float = 0.0, crew: Crew = ALONE,
    ):  # fmt: skip
        self.model, self.loader, self.loss_function = model, loader, loss_function
        self.optimizer, self.scheduler = optimizer, LambdaLR(optimizer, schedule)
        # Of the weights and of batch norm's statistics.
        self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(ema), use_buffers=True) if ema else model
        self.seed, self.dtype, self.clip = seed, dtype, clip
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=dtype == torch.float16)
        self.crew, self.network = crew, shared_model(model, crew)
        self.done, self.loss = 0, 0.0  # steps of an unfinished epoch, and the sum of its losses, on the device
        self.late = self.device.type == "cuda"

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def scoring_model(self) -> nn.Module:
        return self.average.module if isinstance(self.average, AveragedModel) else self.model

    def run_epoch(self, epoch: int, stop: Callable[[], bool] = lambda: False) -> float:
        """The rest of an epoch (they count from 0): its mean loss per sample.

        Raises Interrupted after `stop()`, TrainingError for a loss that is not finite; on a GPU a step later.
        """
        batches, said = self.loader.batch_sampler, None
        batches.epoch, batches.done = epoch, self.done
        self.model.train()
        steps = tqdm(self.loader, f"epoch {epoch + 1}", len(batches), initial=self.done, unit="batch", leave=False,
                     disable=None if self.crew.leads else True)  # fmt: skip
        for batch in steps:
            # Of its place alone, so that it does not matter which steps this process has done before. The first rank's
            # are those of a process alone.
            draws = np.random.SeedSequence((self.seed, epoch, self.done, self.crew.rank)).generate_state(1)
            torch.manual_seed(int(draws[0]))
            loss = self.step(*batch)
            self.loss = self.loss + loss * len(batch[0])
            self.done += 1
            flags = torch.stack([~torch.isfinite(loss), torch.full_like(loss, stop(), dtype=torch.bool)])
            before, said = said, OnTheWay(self.crew.any(flags))
            # A GPU has the next step to do before this one's flags are read, so it never waits for the host.
            self._obey(before if self.late else said)
        self._obey(said)
        self.crew.copy_from_leader(self.scoring_model.buffers())  # statistics of its own part of each batch, on a CPU
        loss = sum(self.crew.gather(float(self.loss))) / batches.total
        self.done, self.loss = 0, 0.0
        return loss

    def _obey(self, said: "OnTheWay | None") -> None:
        is_broken, is_stopped = said.read() if said else (False, False)
        if is_broken:
            raise TrainingError("the loss is not a finite number any more: try a lower --lr or --precision fp32")
        if is_stopped:
            raise Interrupted

    def step(self, *batch: torch.Tensor) -> torch.Tensor:
        """One update from (B, 3, H, W) uint8, (B,) float32 and, for a dense head, (B, families, h, w) float32, see
        `TrainingImages`: the loss, a scalar on the device."""
        images, targets, *regions = (copied(part, self.device) for part in batch)
        images = of_any_length(images, self.model)
        with autocast(self.device, self.dtype):
            logits, *maps = self.network(images, with_maps=True) if regions else (self.network(images),)  # (B,)
        loss = self.loss_function(logits.float(), targets)
        if regions:
            loss = loss + region_loss(maps[0].float(), regions[0])
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss * self._weight()).backward()
        if self.clip:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.scheduler.step()
        if isinstance(self.average, AveragedModel):
            self.average.update_parameters(self.model)
        return loss.detach()

    def _weight(self) -> float:
        """What the mean loss of this process' part of a batch weighs in the average over processes."""
        if self.crew.world == 1:
            return 1.0
        batches = self.loader.batch_sampler
        (start, stop), (first, last) = batches.batch(self.done), batches.bounds(self.done)
        return self.crew.world * (last - first) / (stop - start)

    def state(self) -> dict:
        """Tensors and plain values, for `restore`. Shares memory with the trainer."""
        loss = sum(self.crew.gather(float(self.loss)))
        return {name: getattr(self, name).state_dict() for name in KEPT} | {"done": self.done, "loss": loss}

    def restore(self, state: dict) -> None:
        for name in KEPT:
            getattr(self, name).load_state_dict(state[name])
        self.done, self.loss = state["done"], state["loss"] if self.crew.leads else 0.0


def is_over(history: list[dict], epochs: int, patience: int) -> bool:
    """Whether all epochs are done, or `patience` of them (0: never) brought no better average precision."""
    scores = [row["val_ap"] for row in history]
    waited = len(scores) - 1 - int(np.argmax(scores)) if scores else 0
    return len(scores) >= epochs or 0 < patience <= waited


def validation_row(targets: np.ndarray, logits: np.ndarray, loss_function: nn.Module) -> dict[str, float]:
    """What history.csv keeps of the validation: loss, AP and ROC-AUC, recall and precision at probability 0.5."""
    predicted = logits >= 0
    loss = loss_function(torch.tensor(logits), torch.tensor(targets, dtype=torch.float32))
    return {
        "val_loss": float(loss),
        "val_ap": float(average_precision_score(targets, logits)),
        "val_roc_auc": float(roc_auc_score(targets, logits)),
        "val_recall": float(recall_score(targets, predicted, zero_division=np.nan)),
        "val_precision": float(precision_score(targets, predicted, zero_division=np.nan)),
    }


def measure_rate(trainer: Trainer, batch_size: int, steps: int = 2) -> float:
    """Training speed in images/s on random images; the trainer is left as it was."""
    probe = copy.deepcopy(trainer.model).train()
    shape = (batch_size, 3, *probe.preprocessing.shape)
    images = torch.randint(256, shape, dtype=torch.uint8, device=trainer.device)
    for step in range(steps + 1):
        if step == 1:  # the first one pays for allocations
            start = time.perf_counter()
        with autocast(trainer.device, trainer.dtype):
            logits = probe(images)
        logits.float().sum().backward()
    return steps * batch_size / (time.perf_counter() - start)
