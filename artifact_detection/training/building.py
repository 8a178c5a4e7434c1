"""What a training is put together from: its trainer and loss, what is said before it and written down beside it."""

import numpy as np
import torch

from artifact_detection.detector import checkpoints, models
from artifact_detection.detector.device import device_name, pick_device, pick_precision
from artifact_detection.images.transforms import Preprocessing
from artifact_detection.labels import Prevalence
from artifact_detection.system.memory import keep_freed_memory
from artifact_detection.system.processes import Crew
from artifact_detection.training import data, sampling
from artifact_detection.training.config import TrainConfig
from artifact_detection.training.losses import FocalLoss
from artifact_detection.training.painting import Painting
from artifact_detection.training.pool import PaintedBatches, PooledBatches, fits
from artifact_detection.training.schedules import SCHEDULES
from artifact_detection.training.trainer import OPTIMIZERS, Trainer, measure_rate

MADE = {PooledBatches: "on the GPU", PaintedBatches: "painted by workers, augmented on the GPU"}  # else by workers


def build_trainer(config: TrainConfig, model: models.Detector, training: data.ImageSet, crew: Crew) -> Trainer:
    device = pick_device(config.device)
    model.to(device)
    if device.type == "cpu":
        keep_freed_memory()
    if config.compile:
        model.compile()
    order = training.labels, config.batch_size, config.oversampling, config.seed, config.inject
    batches = sampling.EpochBatches(*order, crew.rank, crew.world)
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    return Trainer(
        model,
        build_loader(config, training, model.preprocessing, batches, device, crew),
        build_loss(config, batches.clean_share),
        OPTIMIZERS[config.optimizer](learning, lr=config.lr, weight_decay=config.weight_decay),
        SCHEDULES[config.schedule](config.epochs * len(batches), round(config.warmup_epochs * len(batches))),
        seed=config.seed,
        dtype=pick_precision(config.precision, device),
        ema=config.ema,
        clip=config.clip,
        crew=crew,
    )


def build_loader(
    config: TrainConfig, training: data.ImageSet, preprocessing: Preprocessing, batches: sampling.EpochBatches,
    device: torch.device, crew: Crew,
) -> PooledBatches | PaintedBatches | torch.utils.data.DataLoader:  # fmt: skip
    """Batches from the memory of the GPU where nothing is painted into the images and they fit, else by workers; where
    these paint regions, a GPU augments."""
    shares = {name: getattr(config, name) for name in ("vary", "restyle", "benign", "degrade")}
    is_painted = config.inject or any(shares.values())
    if not is_painted and config.augment_by != "torchvision" and fits(training, config.augmentation, device):
        return PooledBatches(training, batches, config.augmentation, device)
    painting = Painting(config.kinds, config.inject_severity, config.inject_evenly, **shares)
    on_gpu = device.type == "cuda"
    warp = not (on_gpu and config.with_regions)
    samples = sampling.TrainingImages(
        training, config.augmentation, preprocessing, painting, unfitted=config.inject > 0,
        regions=config.with_regions, matrices=config.augment_by == "matrices", warp=warp,
    )  # fmt: skip
    workers = sampling.pick_workers(config.workers, crew.threads)
    loader = sampling.training_loader(samples, batches, workers, pin=on_gpu)
    return loader if warp else PaintedBatches(loader, config.augmentation, device)


def build_loss(config: TrainConfig, clean_share: float) -> FocalLoss:
    """clean_share: of the samples of an epoch, which decides balanced class weights."""
    gamma, alpha = (config.focal_gamma, config.focal_alpha) if config.loss == "focal" else (0, None)
    if config.class_weights == "balanced":
        alpha = clean_share
    return FocalLoss(gamma, alpha)


def announce(config: TrainConfig, trainer: Trainer, epochs: int, *parts: data.ImageSet | None) -> None:
    """Say what is about to happen, and on a CPU how long it will take."""
    for name, images in zip(("training", "validation", "to score"), parts, strict=True):
        if images is None:
            continue
        prevalence = Prevalence.of(images.labels)
        print(f"{name:<10} {prevalence.total:>6} images, {prevalence.artifacts:>5} artifacts ({prevalence.share:.1%})")
    how = "from scratch, without ImageNet weights" if config.weights == "none" else f"from {config.weights} weights"
    print(f"{config.arch} {how}, {config.image_size} px, {trainer.device.type}, {str(trainer.dtype)[6:]}")
    if trainer.device.type != "cpu" or not epochs:
        return
    rate = measure_rate(trainer, min(config.batch_size, 8))
    minutes = epochs * trainer.loader.batch_sampler.total / rate / 60
    print(f"about {minutes:.0f} min on this CPU ({rate:.1f} images/s, {epochs} epochs)", flush=True)
    if minutes > 30:
        print("shorter: a GPU, --image-size 96, --epochs 5, or --arch mobilenet_v3_small", flush=True)


def facts(
    fingerprint: str, images: data.ImageSet, training: data.ImageSet, parts: np.ndarray, trainer: Trainer
) -> dict:
    """What else the result depends on, for config.toml."""
    return {
        "fingerprint": fingerprint,
        "training_images": len(training),
        "validation_images": len(parts),
        "certifying_images": int((parts == checkpoints.CERTIFIES).sum()),
        "unusable_images": len(images.errors),
        "device": device_name(trainer.device),
        "precision": str(trainer.dtype).removeprefix("torch."),
        "batches": MADE.get(type(trainer.loader), "by workers"),
    }
