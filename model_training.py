"""Train an artifact detector: dataset/{train,test}/{artifacts,no_artifacts}/ -> runs/<name>/.

    python organize_dataset.py
    python model_training.py                                              # the recipe; wants a GPU
    python model_training.py --weights none --image-size 96 --epochs 10   # a smaller trial for a CPU
    python model_training.py --name NAME --resume                         # go on after an interruption

The recipe: VGG-19 with ImageNet weights and every layer trainable, near-duplicates grouped before a stratified
validation split, the minority class oversampled in the training part only, strong augmentation, FocalLoss, Adam,
warm-up and cosine decay. The checkpoint with the best average precision of the class "artifacts" on validation is
kept; its temperature and its threshold come from validation too. The test split is scored once, at the end.
"""

import argparse
import dataclasses
import sys
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import torch
from scipy.special import expit

from artifact_detection import config as configuration
from artifact_detection import data, engine, metrics, models, plots, thresholds
from artifact_detection.config import TrainConfig
from artifact_detection.labels import Prevalence
from artifact_detection.losses import FocalLoss
from artifact_detection.runs import RunError, RunFolder
from artifact_detection.schedules import build_schedule
from artifact_detection.transforms import Preprocessing

HERE = Path(__file__).resolve().parent
EXPECTED_ERRORS = (
    configuration.ConfigError, data.DatasetError, engine.TrainingError, models.WeightsError,
    models.CheckpointError, RunError, OSError,
)  # fmt: skip
EPOCH_LINE = (
    "epoch {epoch}/{epochs}  train loss {train_loss:.4f}  validation: loss {val_loss:.4f}, AP {val_ap:.3f}, "
    "ROC-AUC {val_roc_auc:.3f}  {seconds:.0f} s{best}"
)


def main(argv: list[str] | None = None) -> int:
    """Train as the command line says; the exit code: 0 done, 1 done without some files, 2 nothing done."""
    try:
        return train(*parse(argv))
    except EXPECTED_ERRORS as error:
        print(f"model_training.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command with --name NAME --resume goes on after the last whole epoch", file=sys.stderr)
        return 130


def train(arguments: argparse.Namespace, config: TrainConfig) -> int:
    """The whole story, from class folders to a scored run folder."""
    torch.manual_seed(config.seed)
    model = models.build_model(config.arch, config.weights, Preprocessing(config.image_size))

    images, test = (load(config, split, arguments.cache) for split in ("train", "test"))
    training, validation = data.split_training(images, config.validation, config.seed, config.inject)
    if config.inject:  # artifacts are drawn at twice the size that the network sees
        training = data.at_size(training, 2 * config.image_size, HERE / arguments.cache)
    trainer = build_trainer(config, model, training)

    with RunFolder.open(HERE / arguments.runs / (arguments.name or default_name(config))) as run:
        history = start_or_resume(run, trainer, config, arguments.resume)
        run.write_config(dataclasses.asdict(config), facts(images, training, validation, trainer))
        announce(config, trainer, config.epochs - len(history), training, validation, test)
        fit(run, trainer, validation, config, history)
        calibrate(run, validation, config, images.fingerprint())
        evaluate(run, test, config)
    return 1 if images.errors or test.errors else 0


def load(config: TrainConfig, split: str, cache: Path) -> data.ImageSet:
    """The images of one split, decoded once; those that cannot be used are named on stderr."""
    images = data.load_images(HERE / config.dataset, split, config.image_size, HERE / cache)
    for path, reason in images.errors.items():
        print(f"cannot use {split} image {path}: {reason}", file=sys.stderr)
    return images


def build_trainer(config: TrainConfig, model: models.Detector, training: data.ImageSet) -> engine.Trainer:
    device = engine.pick_device(config.device)
    model.to(device)
    batches = data.EpochBatches(training.labels, config.batch_size, config.oversampling, config.seed, config.inject)
    samples = data.TrainingImages(training, config.augmentation, model.preprocessing, config.inject_severity)
    return engine.Trainer(
        model,
        data.training_loader(samples, batches, config.workers, pin=device.type == "cuda"),
        FocalLoss(config.focal_gamma, config.focal_alpha) if config.loss == "focal" else FocalLoss(gamma=0),
        engine.OPTIMIZERS[config.optimizer](model.parameters(), lr=config.lr, weight_decay=config.weight_decay),
        build_schedule(config.schedule, config.epochs * len(batches), round(config.warmup_epochs * len(batches))),
        seed=config.seed,
        dtype=engine.pick_precision(config.precision, device),
        ema=config.ema,
        clip=config.clip,
    )


def start_or_resume(run: RunFolder, trainer: engine.Trainer, config: TrainConfig, resume: bool) -> list[dict]:
    """The history so far: empty for a new run, that of last.pt for one that goes on."""
    if not resume:
        run.refuse_if_used()
    last = run.read_last(dataclasses.asdict(config))
    if last is None:
        return []
    trainer.restore(last["trainer"])
    print(f"resuming {run.path} after epoch {len(last['history'])} of {config.epochs}")
    return last["history"]


def fit(run: RunFolder, trainer: engine.Trainer, validation: data.ImageSet, config: TrainConfig, history: list[dict]):
    """Train to the last epoch, keeping history.csv, best.pt and, last of all, last.pt up to date after each."""
    for epoch in range(len(history), config.epochs):
        start, lr = time.perf_counter(), trainer.scheduler.get_last_lr()[0]
        row = {"epoch": epoch + 1, "lr": lr, "train_loss": trainer.run_epoch(epoch)}
        logits = score(trainer.scoring_model, validation, config)
        row |= engine.validation_row(validation.labels, logits, trainer.loss_function)
        is_best = all(row["val_ap"] > earlier["val_ap"] for earlier in history)
        history.append(row | {"seconds": round(time.perf_counter() - start, 1)})
        if is_best:
            run.save("best.pt", models.make_checkpoint(trainer.scoring_model, epoch=epoch + 1))
        run.write_history(history)
        run.save("last.pt", {"settings": dataclasses.asdict(config), "history": history, "trainer": trainer.state()})
        print(EPOCH_LINE.format(epochs=config.epochs, best="  best" if is_best else "", **history[-1]), flush=True)


def score(model: models.Detector, images: data.ImageSet, config: TrainConfig) -> np.ndarray:
    """Logits, (N,) float32, under the evaluation preset."""
    device = engine.pick_device(config.device)
    loader = data.evaluation_loader(data.EvaluationImages(images, model.preprocessing), config.batch_size)
    return engine.predict(model.to(device), loader, dtype=engine.pick_precision(config.precision, device))


def calibrate(run: RunFolder, validation: data.ImageSet, config: TrainConfig, fingerprint: str) -> None:
    """Fit temperature and threshold on validation; store them in best.pt with the scores that they rest on."""
    model, checkpoint = models.load_checkpoint(run.path / "best.pt")
    logits = score(model, validation, config)
    temperature = thresholds.fit_temperature(validation.labels, logits)
    probabilities = expit(logits / temperature)
    try:
        threshold = thresholds.choose_threshold(validation.labels, probabilities, config.target)
    except thresholds.ThresholdError as error:
        threshold = 0.5
        print(f"no threshold for --target {config.target}: {error}. It stays at 0.5", file=sys.stderr)
    evidence = {
        "validation_targets": torch.tensor(validation.labels),
        "validation_probabilities": torch.tensor(probabilities),
        "fingerprint": fingerprint,
    }
    run.save("best.pt", checkpoint | {"temperature": temperature, "threshold": threshold} | evidence)
    run.write_predictions("val", validation, probabilities, threshold)


def evaluate(run: RunFolder, test: data.ImageSet, config: TrainConfig) -> None:
    """Score the test split once: test_predictions.csv, metrics.json, curves.png and the summary on the screen."""
    model, checkpoint = models.load_checkpoint(run.path / "best.pt")
    probabilities = expit(score(model, test, config) / checkpoint["temperature"])
    summary = metrics.summarize(test.labels, probabilities, checkpoint["threshold"])
    run.write_predictions("test", test, probabilities, checkpoint["threshold"])
    run.write_json("metrics.json", summary.as_dict())
    plots.save(plots.plot_curves(run.read_history()), run.path / "curves.png")
    print(f"\ntest split, checkpoint of epoch {checkpoint['epoch']}: {summary.table()}\n\nrun folder: {run.path}")


def announce(config: TrainConfig, trainer: engine.Trainer, epochs: int, *parts: data.ImageSet) -> None:
    """Say what is about to happen, and on a CPU how long it will take."""
    for name, images in zip(("training", "validation", "test"), parts, strict=True):
        prevalence = Prevalence.of(images.labels)
        print(f"{name:<10} {prevalence.total:>6} images, {prevalence.artifacts:>5} artifacts ({prevalence.share:.1%})")
    how = "from scratch, without ImageNet weights" if config.weights == "none" else f"from {config.weights} weights"
    print(f"{config.arch} {how}, {config.image_size} px, {trainer.device.type}, {str(trainer.dtype)[6:]}")
    if trainer.device.type != "cpu" or not epochs:
        return
    rate = engine.measure_rate(trainer, config.image_size, min(config.batch_size, 8))
    minutes = epochs * trainer.loader.batch_sampler.total / rate / 60
    print(f"about {minutes:.0f} min on this CPU ({rate:.1f} images/s, {epochs} epochs)", flush=True)
    if minutes > 30:
        print("shorter: a GPU, --image-size 96, --epochs 5, or --arch mobilenet_v3_small", flush=True)


def facts(images: data.ImageSet, training: data.ImageSet, validation: data.ImageSet, trainer: engine.Trainer) -> dict:
    """What else the result depends on, for config.toml."""
    return {
        "fingerprint": images.fingerprint(),
        "training_images": len(training),
        "validation_images": len(validation),
        "unusable_images": len(images.errors),
        "device": torch.cuda.get_device_name() if trainer.device.type == "cuda" else trainer.device.type,
        "precision": str(trainer.dtype).removeprefix("torch."),
    }


def default_name(config: TrainConfig) -> str:
    return f"{config.arch}-{datetime.now():%Y%m%d-%H%M%S}"


def parse(argv: list[str] | None) -> tuple[argparse.Namespace, TrainConfig]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", help="name of the run folder (default: network and time)")
    parser.add_argument("--resume", action="store_true", help="go on with the run --name, if it was begun")
    parser.add_argument("--config", type=Path, help="TOML file with settings that differ from the defaults")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of run folders (default: %(default)s)")
    parser.add_argument("--cache", type=Path, default=Path(".cache"), help="decode-once cache (default: %(default)s)")
    configuration.add_flags(parser)
    arguments = parser.parse_args(argv)
    if arguments.resume and not arguments.name:
        parser.error("--resume needs --name, the run to go on with")
    return arguments, configuration.merge(arguments.config, configuration.given_flags(arguments))


if __name__ == "__main__":
    sys.exit(main())
