import itertools

import numpy as np
import pytest
import torch

from artifact_detection.detector.scoring import TorchEngine, run_all
from artifact_detection.detector.weights import build_model
from artifact_detection.images.transforms import Preprocessing, to_tensor
from artifact_detection.training import sampling
from artifact_detection.training.losses import FocalLoss
from artifact_detection.training.trainer import OPTIMIZERS, Interrupted, Trainer, TrainingError, validation_row
from tests.toys import SIZE, toy_images


def toy_trainer(seed: int = 0, ema: float = 0.0, lr: float = 1e-3, workers: int = 0, **options) -> Trainer:
    torch.manual_seed(seed)
    images, preprocessing = toy_images(), Preprocessing(SIZE)
    model = build_model("resnet18", "none", preprocessing)
    samples = sampling.TrainingImages(images, "heavy", preprocessing)
    loader = sampling.training_loader(
        samples, sampling.EpochBatches(images.labels, 8, "random", seed), workers, pin=False
    )
    optimizer = OPTIMIZERS["adam"](model.parameters(), lr=lr)
    settings = {"seed": seed, "dtype": torch.float32, "ema": ema} | options
    return Trainer(model, loader, FocalLoss(), optimizer, lambda step: 1.0, **settings)


def weights(trainer: Trainer) -> torch.Tensor:
    return torch.cat([value.flatten().double() for value in trainer.scoring_model.state_dict().values()])


def test_toy_set_is_learned():
    trainer = toy_trainer(ema=0.5)
    for epoch in range(12):
        trainer.run_epoch(epoch)
    images = toy_images()
    engine = TorchEngine(trainer.scoring_model, torch.device("cpu"), torch.float32)
    logits = run_all(engine, (to_tensor(images[row]) for row in range(len(images))), 7)
    assert ((logits > 0) == images.labels).all()


def test_one_seed_gives_identical_weights_whatever_the_workers():
    first, again, other = toy_trainer(), toy_trainer(workers=2), toy_trainer(seed=1)
    losses = [trainer.run_epoch(0) for trainer in (first, again, other)]
    assert losses[0] == losses[1] != losses[2]
    assert torch.equal(weights(first), weights(again)) and not torch.equal(weights(first), weights(other))


def test_restored_state_goes_on_bit_for_bit(tmp_path):
    straight = toy_trainer(ema=0.9)
    for epoch in range(3):
        straight.run_epoch(epoch)
    interrupted = toy_trainer(ema=0.9)
    for epoch in range(2):
        interrupted.run_epoch(epoch)
    torch.save(interrupted.state(), tmp_path / "last.pt")
    resumed = toy_trainer(ema=0.9)
    resumed.restore(torch.load(tmp_path / "last.pt", weights_only=True))
    resumed.run_epoch(2)
    assert torch.equal(weights(straight), weights(resumed))


def test_a_loss_that_is_no_number_stops_the_training():
    with pytest.raises(TrainingError, match="lower --lr"):
        for epoch in range(5):
            toy_trainer(lr=1e30).run_epoch(epoch)


def test_clipping_limits_the_step():
    trainer = toy_trainer(clip=1e-3)
    trainer.run_epoch(0)
    norm = torch.sqrt(sum(p.grad.square().sum() for p in trainer.model.parameters()))
    assert 0 < norm <= 1.01e-3


def test_a_step_does_not_wait_for_the_device(monkeypatch):
    trainer = toy_trainer(clip=1.0)
    images, targets = torch.zeros((4, 3, SIZE, SIZE), dtype=torch.uint8), torch.ones(4)
    trainer.step(images, targets)

    def wait(*_, **__):
        raise AssertionError("a GPU would be waited for here")

    for name in ("item", "tolist", "cpu", "numpy", "__bool__", "__float__"):
        monkeypatch.setattr(torch.Tensor, name, wait)
    loss = trainer.step(images, targets)
    monkeypatch.undo()
    assert loss.shape == () and torch.isfinite(loss)


@pytest.mark.parametrize("late, done", [(False, 2), (True, 3)])
def test_on_a_gpu_a_stop_is_obeyed_one_step_later_and_nothing_is_lost(late, done):
    straight, stopped, asked = toy_trainer(), toy_trainer(), itertools.count(1)
    straight.late = stopped.late = late
    straight.run_epoch(0)
    with pytest.raises(Interrupted):
        stopped.run_epoch(0, lambda: next(asked) == 2)
    assert stopped.done == done
    stopped.run_epoch(0)
    assert torch.equal(weights(straight), weights(stopped))


def test_on_a_gpu_a_broken_loss_of_the_last_step_is_noticed():
    trainer = toy_trainer()
    trainer.late, trainer.loss_function = True, lambda logits, _: logits.sum() * float("nan")
    trainer.done = len(trainer.loader.batch_sampler) - 1
    with pytest.raises(TrainingError, match="lower --lr"):
        trainer.run_epoch(0)


def test_validation_row_known_answer():
    row = validation_row(np.array([1, 0, 1, 0]), np.float32([3, 1, -1, -2]), FocalLoss(0))
    assert row == pytest.approx(
        {"val_loss": 0.7006, "val_ap": 5 / 6, "val_roc_auc": 0.75, "val_recall": 0.5, "val_precision": 0.5}, abs=1e-3
    )
