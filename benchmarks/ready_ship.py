"""Make pretrained/detector.pt from a finished training: half precision, and thresholds for the filter's default bands.

    python benchmarks/ready_ship.py --run runs/ready --dataset dataset-ready

The two thresholds are those at which 10 % and 1 % of the clean generated faces of the training's own validation part,
as they are and mirrored, would be false alarms; no test face is looked at.
"""

import argparse
import sys
import tomllib
from pathlib import Path

import numpy as np
import torch
from scipy.special import expit

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from artifact_detection.detector import models  # noqa: E402
from artifact_detection.detector.scoring import predict  # noqa: E402
from artifact_detection.images.transforms import to_tensor  # noqa: E402
from artifact_detection.training import data  # noqa: E402

FALSE_ALARMS = {"keep": 0.10, "reject": 0.01}  # of clean faces: kept below the first, rejected from the second on
CHOSEN = ("arch", "preprocessing", "classes", "regions", "temperature", "shift", "epoch", "fingerprint")


def validation_faces(settings: dict, dataset: Path, model: models.Detector, cache: Path) -> list[np.ndarray]:
    """The clean faces (S, S, 3) uint8 that the training validated on: no portraits drawn by this project."""
    images = data.load_images(dataset, "train", model.preprocessing, cache)
    if images.fingerprint() != settings["fingerprint"]:
        raise SystemExit(f"{dataset} is not what the run was trained on")
    _, held_back = data.split_training(images, settings["validation"], settings["seed"], settings["inject"])
    kept = images.take(held_back)
    names = [Path(path).name for path in kept.table["path"]]
    return [kept[row] for row, name in enumerate(names) if not name.startswith("portrait_")]


def halved(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    values = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    assert all(value.isfinite().all() for value in values.values()), "a weight is too large for half precision"
    return values


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="run folder of the training")
    parser.add_argument("--dataset", type=Path, required=True, help="what it was trained on")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache")
    parser.add_argument("--out", type=Path, default=ROOT / "pretrained/detector.pt")
    return parser.parse_args()


def main() -> int:
    options = parse_arguments()
    model, checkpoint = models.load_checkpoint(options.run / "best.pt")
    tables = tomllib.loads((options.run / "config.toml").read_text())
    settings = {key: value for table in tables.values() for key, value in table.items()}
    state = halved(model.state_dict())
    model.load_state_dict(state)  # what will be loaded from the file

    faces = validation_faces(settings, options.dataset, model, options.cache)
    views = [to_tensor(view) for face in faces for view in (face, face[:, ::-1])]
    logits = predict(model, torch.stack(views).split(32))
    clean = expit(logits / checkpoint["temperature"])
    bands = {side: float(np.quantile(clean, 1 - share, method="higher")) for side, share in FALSE_ALARMS.items()}
    source = f"10 % and 1 % false alarms on {len(faces)} clean generated faces and their mirror images"
    values = {key: checkpoint[key] for key in CHOSEN} | {"threshold": checkpoint["threshold"]}
    evidence = {key: value for key, value in checkpoint.items() if key.startswith("validation_")}
    values |= evidence | {"validation_injected": True, "default_bands": bands | {"source": source}}
    options.out.parent.mkdir(exist_ok=True)
    torch.save({"format": models.CHECKPOINT_FORMAT, "model": state, **values}, options.out)
    models.load_checkpoint(options.out)
    size = options.out.stat().st_size / 1e6
    print(f"{options.out}: {size:.1f} MB; threshold {checkpoint['threshold']:.4f}; bands {bands} ({source})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
