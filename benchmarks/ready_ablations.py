"""What is each part of the shipped detector's recipe for? Short trainings with and without it, scored on unseen faces.

    python benchmarks/ready_ablations.py --faces FACES --dataset dataset-ready --runs runs/ablations

FACES and dataset-ready as in benchmarks/ready_dataset.py. Every one is the recipe, 00-ready.toml of
model-training-attempts/, but at `--image-size`, for `--epochs` of one cosine, and without one part; each is shipped by
ready_ship.py and scored by ready_detector.py on the faces that no training has seen. Seeds also choose other validation
faces. Killed and started again it goes on.

results/ready_ablations.csv: a row for each training that has been scored. On the screen: a row an arm, the mean over
its seeds (lowest to highest).
"re-encoded": ROC-AUC with one artifact a face, where every image went through half its size and JPEG of quality 60;
"verdicts kept": how many of those images are called what they were called before.
"false alarms" and what follows: the share of clean faces, of the same after an edit, and of look-alikes, that lie at or
above the checkpoint's threshold, which is chosen on clean validation faces that nobody edited.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from injection_transfer import wins
from project import RESULTS, ROOT
from ready_dataset import split_faces
from ready_detector import enlarged, evidence, markdown
from ready_unlike import with_artifact

from artifact_detection.detector.checkpoints import load_checkpoint, probabilities
from artifact_detection.injection.degradation import recompressed, rescaled
from artifact_detection.system.arguments import script_parser

ARMS = {
    "the recipe": (),
    "without masks": ("--regions", "off"),
    "without shared degradations": ("--degrade", "0"),
    "without benign edits": ("--benign", "0"),
    "without varied proportions": ("--vary", "0"),
    "the face": ("--crop", "face"),
    "image and face": ("--crop", "both"),
    "at 224 px": ("--image-size", "224"),
    "at 288 px": ("--image-size", "288"),
    "at 320 px": ("--image-size", "320"),
}
RECIPE = ROOT / "model-training-attempts/00-ready.toml"
REENCODED = "reencoded.json"
MOST_SEEDS = 10
TARGETS = {"ROC-AUC": "all", "severity 1": "severity 1", "anatomy": "anatomy"}
ALARMS = {
    "false alarms": "clean faces",
    "as JPEG 60": "… as JPEG, quality 60",
    "half the size": "… through half the size",
    "a patch edited": "… with a patch of blur, noise, JPEG or light",
    "lettering behind": "… with lettering behind the head",
    "look-alikes": "look-alikes: all",
}


def python(*arguments: object) -> None:
    subprocess.run([sys.executable, *map(str, arguments)], check=True, cwd=ROOT)


def reencoded(detector: Path, faces: Path) -> dict[str, float]:
    """What re-encoding leaves of the detector's ranking and of its verdicts."""
    model, checkpoint = load_checkpoint(detector)
    images = enlarged(split_faces(faces)[1], model)
    both = images + [with_artifact(image, row) for row, image in enumerate(images)]
    before, after = (
        probabilities(evidence(model, some)[0], checkpoint.temperature)
        for some in (both, [recompressed(rescaled(image, 0.5), 60) for image in both])
    )
    clean, artifacts = np.split(after, 2)
    same = (before >= checkpoint.threshold) == (after >= checkpoint.threshold)
    return {"re-encoded": float(wins(artifacts, clean).mean()), "verdicts kept": float(same.mean())}


def scores(runs: Path, name: str) -> Path:
    return runs / f"{name}-scores"


def run_name(arm: str, seed: int) -> str:
    return f"{arm.replace(' ', '-')}-{seed}"


def train(arm: str, seed: int, options) -> None:
    """Nothing is done again that an earlier run has left in its folders."""
    name = run_name(arm, seed)
    out = scores(options.runs, name)
    detector, again = out / "detector.pt", out / REENCODED
    if not (out / "ready_false_alarms.csv").exists():  # the last that is written
        shared = ("--dataset", options.dataset, "--cache", options.cache)
        short = ("--image-size", options.image_size, "--epochs", options.epochs, "--schedule", "warmup_cosine")
        where = ("--runs", options.runs, "--name", name, "--resume", "--seed", seed)
        python("model_training.py", "--config", RECIPE, *shared, *where, *short, *ARMS[arm])
        out.mkdir(exist_ok=True)
        python("benchmarks/ready_ship.py", "--run", options.runs / name, *shared, "--out", detector)
        scored = ("--model", detector, "--every", options.every, "--out", out)
        python("benchmarks/ready_detector.py", "--faces", options.faces, *scored)
    if not again.exists():
        again.write_text(json.dumps(reencoded(detector, options.faces)))


def read_scores(arm: str, seed: int, out: Path) -> dict:
    """A row of the table."""
    kinds = pd.read_csv(out / "ready_kinds.csv").set_index("target")
    alarms = pd.read_csv(out / "ready_false_alarms.csv").query("threshold == 'default'").set_index("images")["share"]
    row = {"arm": arm, "seed": seed} | {shown: kinds.loc[target, "roc_auc"] for shown, target in TARGETS.items()}
    row["pointing game"] = float("nan") if "--regions" in ARMS[arm] else kinds.loc["all", "pointing"]
    row |= json.loads((out / REENCODED).read_text())
    return row | {shown: alarms.get(images, float("nan")) for shown, images in ALARMS.items()}


def finished(runs: Path) -> pd.DataFrame:
    """A row for each training that has been scored, now or earlier."""
    named = ((arm, seed, scores(runs, run_name(arm, seed))) for arm in ARMS for seed in range(MOST_SEEDS))
    return pd.DataFrame(read_scores(*one) for one in named if (one[2] / REENCODED).exists())


def shown(rows: pd.DataFrame) -> str:
    """A row an arm: the mean over its seeds and, of several, the lowest and the highest."""

    def text(values: pd.Series) -> str:
        if values.isna().any():
            return ""
        spread = f" ({values.min():.3f} to {values.max():.3f})" if len(values) > 1 else ""
        return f"{values.mean():.3f}{spread}".replace("0.", ".")

    arms = rows.groupby("arm", sort=False)
    table = arms.agg(text).drop(columns="seed")
    table.insert(0, "seeds", arms.size())
    return markdown(table.reset_index())


def main() -> None:
    parser = script_parser(__doc__)
    add = parser.add_argument
    add("--faces", type=Path, required=True, help="folder of clean generated faces")
    add("--dataset", type=Path, required=True, help="what ready_dataset.py made of them")
    add("--runs", type=Path, required=True, help="for run folders and what they scored")
    add("--cache", type=Path, default=ROOT / ".cache")
    add("--arms", nargs="+", choices=ARMS, default=list(ARMS)[:4])
    add("--seeds", type=int, default=3, choices=range(1, MOST_SEEDS + 1))
    add("--image-size", type=int, default=160)
    add("--epochs", type=int, default=8)
    add("--every", type=int, default=3, help="put each kind into every so manieth face only")
    options = parser.parse_args()
    for name in ("faces", "dataset", "runs", "cache"):
        setattr(options, name, getattr(options, name).resolve())
    options.runs.mkdir(parents=True, exist_ok=True)
    for seed in range(options.seeds):
        for arm in options.arms:
            train(arm, seed, options)
            rows = finished(options.runs)
            rows.to_csv(RESULTS / "ready_ablations.csv", index=False, float_format="%.4f")
            print(shown(rows), flush=True)


if __name__ == "__main__":
    main()
