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
import copy
import dataclasses
import signal
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from artifact_detection import figures
from artifact_detection.detector import checkpoints, models, weights
from artifact_detection.detector.device import DeviceError, device_errors, peak_memory_mb, pick_device
from artifact_detection.evaluation import metrics
from artifact_detection.images.listing import beside, named
from artifact_detection.images.transforms import Preprocessing
from artifact_detection.system import run_files
from artifact_detection.system.arguments import script_parser
from artifact_detection.system.interruption import stop_on_signal
from artifact_detection.system.output import run_script
from artifact_detection.system.paths import ROOT
from artifact_detection.system.processes import Crew, CrewError, join_crew
from artifact_detection.training import config as configuration
from artifact_detection.training import data, label_errors
from artifact_detection.training.building import announce, build_trainer, facts
from artifact_detection.training.calibration import calibrate, score
from artifact_detection.training.config import TrainConfig
from artifact_detection.training.plots import plot_curves
from artifact_detection.training.runs import RunError, RunFolder, claim
from artifact_detection.training.trainer import Interrupted, Trainer, TrainingError, is_over, validation_row

EXPECTED_ERRORS = (
    configuration.ConfigError, data.DatasetError, TrainingError, weights.WeightsError,
    checkpoints.CheckpointError, RunError, DeviceError, CrewError, OSError,
)  # fmt: skip
EPOCH_LINE = (
    "epoch {epoch}/{epochs}  train loss {train_loss:.4f}  validation: loss {val_loss:.4f}, AP {val_ap:.3f}, "
    "ROC-AUC {val_roc_auc:.3f}  {seconds:.0f} s{best}"
)


class Work(NamedTuple):
    """What one training needs."""

    images: data.ImageSet  # to train and to validate on
    unfitted: data.ImageSet  # the same to put artifacts into, see data.unfitted; without --inject just `images`
    scored: data.ImageSet | None  # to score once, at the end; None: there is no test split
    scored_as: str  # "test" or "held_out"
    groups: np.ndarray | None = None  # of near-duplicates among the images, where they are known already


def main(argv: list[str] | None = None) -> int:
    """Train as the command line says; the exit code: 0 done, 1 done without some files, 2 nothing done."""
    try:
        arguments, config = parse_arguments(argv)
        with join_crew(pick_device(config.device)) as crew, device_errors("--batch-size"):
            return train(arguments, config, crew)
    except EXPECTED_ERRORS as error:
        print(f"model_training.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print("stopped; the same command with --name NAME --resume goes on", file=sys.stderr)
        return 128 + (stop.args[0] if stop.args else signal.SIGINT)


def train(arguments: argparse.Namespace, config: TrainConfig, crew: Crew) -> int:
    """The whole story, from class folders to scored run folders."""
    data.list_images(Path(config.dataset), "train")  # nothing to train on: said before weights are downloaded
    if names := beside(Path(config.dataset), "train", "test"):
        print(f"left alone in {config.dataset}, for only train/ and test/ are used: {names}", file=sys.stderr)
    torch.manual_seed(config.seed)
    preprocessing = models.default_preprocessing(config.arch, config.image_size, config.crop)
    preprocessing = dataclasses.replace(preprocessing, interpolation=config.interpolation)
    model = weights.build_model(config.arch, config.weights, preprocessing, config.with_regions)
    model.freeze(config.freeze)

    name = arguments.name or f"{config.arch}-{datetime.now():%Y%m%d-%H%M%S}"
    folder = arguments.runs.resolve() / crew.gather(name)[0]
    cache = None if arguments.no_cache else arguments.cache.resolve()
    with crew.leader_first():
        images = load(config, "train", preprocessing, cache)
        unfitted = data.unfitted(images, preprocessing, cache) if config.inject else images
        test = images if arguments.folds else load(config, "test", preprocessing, cache)
    if arguments.folds:
        cross_validate(folder, config, model, images, unfitted, arguments, crew)
    else:
        train_one(folder, config, model, Work(images, unfitted, test, run_files.TEST), arguments.resume, crew)
    return 1 if images.errors or (test and test.errors) else 0


def load(config: TrainConfig, split: str, preprocessing: Preprocessing, cache: Path | None) -> data.ImageSet | None:
    """The images of one split, decoded once; those that cannot be used are named on stderr. There may be no test."""
    if split == "test" and not any((Path(config.dataset) / split).rglob("*.*")):
        print(f"no test split in {config.dataset}: nothing is scored at the end", file=sys.stderr)
        return None
    images = data.load_images(Path(config.dataset), split, preprocessing, cache)
    if images.others:
        names = named(list(images.others))
        print(f"{split}: {len(images.others)} other files are left alone: {names}", file=sys.stderr)
    for path, reason in images.errors.items():
        print(f"cannot use {split} image {path}: {reason}", file=sys.stderr)
    if cache:
        print(f"{split}: {len(images)} images, {images.pixels.nbytes / 1e6:.0f} MB in {cache}")
    return images


def train_one(folder: Path, config: TrainConfig, model: models.Detector, work: Work, resume: bool, crew: Crew) -> None:
    groups = data.near_duplicate_groups(work.images) if work.groups is None else work.groups
    rows, held_back = data.split_training(work.images, config.validation, config.seed, config.inject, groups)
    training, validation = work.unfitted.take(rows), work.images.take(held_back)
    injected = not validation.labels.any()
    if injected:
        validation = data.inject_half(work.unfitted.take(held_back), model.preprocessing, config.seed, config.kinds)
    parts = data.validation_parts(validation.labels, groups[held_back], config.seed)
    trainer = build_trainer(config, model, training, crew)

    settings, fingerprint = dataclasses.asdict(config), work.images.fingerprint()
    with RunFolder.open(folder, settings | {"data": fingerprint}, crew) as run:
        history = start_or_resume(run, trainer, config, resume)
        run.write_config(settings, facts(fingerprint, work.images, training, parts, trainer))
        announce(config, trainer, config.epochs - len(history), training, validation, work.scored)
        fit(run, trainer, validation.take(np.flatnonzero(parts == checkpoints.CHOOSES)), config, history)
        calibrate(run, validation, parts, injected, config, fingerprint)
        evaluate(run, work, config)


def cross_validate(
    folder: Path, config: TrainConfig, model: models.Detector, images: data.ImageSet, unfitted: data.ImageSet,
    arguments: argparse.Namespace, crew: Crew,
) -> None:  # fmt: skip
    """A training per fold; then every training image's prediction by a model that never saw it, and what it doubts."""
    if crew.leads:  # before the hours of training, not after them; an earlier version left no record
        claim(folder, label_errors.FILES, adopt=(folder / "fold-1" / run_files.LAST).exists())
    groups = data.near_duplicate_groups(images)
    parts = data.split_folds(images.labels, groups, arguments.folds, config.seed)
    for number, (rows, held_out) in enumerate(parts, 1):
        print(f"\nfold {number} of {len(parts)}")
        work = Work(images.take(rows), unfitted.take(rows), images.take(held_out), run_files.HELD_OUT, groups[rows])
        path = folder / f"fold-{number}"
        train_one(path, config, copy.deepcopy(model), work, arguments.resume and path.exists(), crew)
    if crew.leads:
        folders = [folder / f"fold-{number + 1}" for number in range(len(parts))]
        print("\n" + label_errors.write_report(folder, label_errors.join_folds(folders, images, groups), images.root))


def start_or_resume(run: RunFolder, trainer: Trainer, config: TrainConfig, resume: bool) -> list[dict]:
    """The history so far: empty for a new run, that of last.pt for one that goes on."""
    if not resume:
        run.refuse_if_used()
    last = run.read_last()
    if last is None:
        return []
    trainer.restore(last["trainer"])
    print(f"resuming {run.path} after epoch {len(last['history'])} of {config.epochs}")
    return last["history"]


def fit(run: RunFolder, trainer: Trainer, validation: data.ImageSet, config: TrainConfig, history: list[dict]):
    """Train to the end; history.csv is written after each epoch, best.pt and last.pt now and then and at the end.

    Raises Interrupted on the first Ctrl-C or SIGTERM, after the step in progress is saved.
    """
    with stop_on_signal() as stop:
        while not is_over(history, config.epochs, config.patience):
            epoch, start = len(history), time.perf_counter()
            try:
                loss = trainer.run_epoch(epoch, stop)
            except Interrupted:
                run.save_last(history, trainer.state())
                raise Interrupted(stop.number) from None
            row = {"epoch": epoch + 1, "lr": trainer.scheduler.get_last_lr()[0], "train_loss": loss}
            logits = score(trainer.scoring_model, validation, config, trainer.crew)
            row |= validation_row(validation.labels, logits, trainer.loss_function)
            is_best = all(row["val_ap"] > earlier["val_ap"] for earlier in history)
            row |= {"seconds": round(time.perf_counter() - start, 1), "peak_memory_mb": peak_memory_mb(trainer.device)}
            history.append(row)
            if is_best:
                run.keep_best(checkpoints.make_checkpoint(trainer.scoring_model, epoch=epoch + 1))
            run.write_history(history)
            if run.is_time_to_save() or is_over(history, config.epochs, config.patience):
                run.save_last(history, trainer.state())
            print(EPOCH_LINE.format(epochs=config.epochs, best="  best" if is_best else "", **history[-1]), flush=True)
    run.wait()


def evaluate(run: RunFolder, work: Work, config: TrainConfig) -> None:
    """Score the last split once: <split>_predictions.csv, metrics.json, curves.png and the summary on the screen."""
    if run.crew.leads:
        figures.save(plot_curves(run.read_history()), run.path / run_files.CURVES)
    if work.scored is None:
        print(f"\nrun folder: {run.path}")
        return
    model, checkpoint = checkpoints.load_checkpoint(run.path / run_files.BEST)
    probabilities = checkpoints.probabilities(score(model, work.scored, config, run.crew), checkpoint.temperature)
    if not run.crew.leads:
        return
    summary = metrics.summarize(work.scored.labels, probabilities, checkpoint.threshold)
    run.write_predictions(work.scored_as, work.scored, probabilities, checkpoint.threshold)
    run.write_json(run_files.METRICS, summary.as_dict())
    split = work.scored_as.replace("_", "-")
    print(f"\n{split} split, checkpoint of epoch {checkpoint.epoch}: {summary.table()}\n\nrun folder: {run.path}")


def parse_arguments(argv: list[str] | None) -> tuple[argparse.Namespace, TrainConfig]:
    parser = script_parser(__doc__)
    add = parser.add_argument
    add("--name", help="name of the run folder (default: network and time)")
    add("--resume", action="store_true", help="go on with the run --name, if it was begun")
    add("--config", type=Path, help="TOML file with settings that differ from the defaults")
    add("--runs", type=Path, default=ROOT / "runs", help="folder of run folders (default: %(default)s)")
    add("--cache", type=Path, default=ROOT / ".cache", help="decode-once cache (default: %(default)s)")
    add("--no-cache", action="store_true", help="keep nothing: decode the images again in every epoch")
    add(
        "--folds", type=int, default=0, metavar="K",
        help="train K models, each without a fold of the training split; write out-of-fold predictions and the labels "
        "that they contradict. The test split is not touched",
    )  # fmt: skip
    configuration.add_flags(parser)
    arguments = parser.parse_args(argv)
    if arguments.name and (Path(arguments.name).name != arguments.name or arguments.name == ".."):
        parser.error("--name is the name of one folder in --runs")
    if arguments.resume and not arguments.name:
        parser.error("--resume needs --name, the run to go on with")
    if arguments.folds and arguments.folds < 2:
        parser.error("--folds needs at least 2")
    return arguments, configuration.merge(arguments.config, configuration.given_flags(arguments))


if __name__ == "__main__":
    run_script(main)
