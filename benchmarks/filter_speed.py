"""How fast does the filter score, against a plain PyTorch loop and against decoding alone?

    python benchmarks/filter_speed.py --images FACES --arch vgg19 --count 64 --rounds 5
    python benchmarks/filter_speed.py --images FACES --model runs/vgg19/best.pt    # agreement needs a trained network

Writes `count` of the images as PNG files of 1024x1024 and times, in turns, round after round:
plain    what one writes first: Pillow, torchvision's transforms, a DataLoader, the network in float32
torch    the filter with PyTorch in the hardware's best precision
int8     the filter with OpenVINO in 8 bits, quantised on other images of the folder (pip install openvino nncf)
decode   the filter without a network: reading, hashing, decoding, measuring, resizing
Rates are medians over the rounds; ratios are medians of the rounds' ratios, so that a busy machine hits both sides.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import torch
from PIL import Image
from torchvision.transforms import v2

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from artifact_detection import int8
from artifact_detection.engine import pick_precision
from artifact_detection.filtering.inputs import Inputs, Item
from artifact_detection.filtering.reading import prepare
from artifact_detection.images import read_image
from artifact_detection.models import build_model, make_checkpoint
from artifact_detection.scoring import BATCH, Scorer, TorchEngine, load_predictor, prepared_batches
from artifact_detection.transforms import Preprocessing, evaluation_transform

SIDE = 1024
CPU = torch.device("cpu")


class PlainImages(torch.utils.data.Dataset):
    """Files as a first script reads them."""

    def __init__(self, paths: list[str], preprocessing: Preprocessing):
        size = (preprocessing.size, preprocessing.size)
        self.paths, self.transform = paths, v2.Compose([v2.PILToTensor(), v2.Resize(size, antialias=True)])

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.transform(Image.open(self.paths[index]).convert("RGB"))


def write_pngs(sources: list[Path], folder: Path) -> list[Item]:
    for number, source in enumerate(sources):
        image = cv2.resize(read_image(source), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{number:05d}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return Inputs.scan([str(folder)], folder / "none").items


@torch.inference_mode()
def run_plain(scorer: Scorer, items: list[Item]) -> None:
    dataset = PlainImages([item.file for item in items], scorer.preprocessing)
    loader = torch.utils.data.DataLoader(dataset, batch_size=scorer.batch, num_workers=os.cpu_count())
    for images in loader:
        scorer.model(images)


def run_filter(scorer: Scorer, items: list[Item], score: bool = True) -> None:
    ready = partial(prepare, preprocessing=scorer.preprocessing, thumbnail=True)
    batches = [items[n : n + scorer.batch] for n in range(0, len(items), scorer.batch)]
    for batch in prepared_batches(ready, batches, os.cpu_count()):
        if score:
            scorer.score_batch([image for _, image in batch])


def load(arguments: argparse.Namespace) -> Scorer:
    if arguments.model:
        return load_predictor(arguments.model, "cpu")
    torch.manual_seed(0)
    model = build_model(arguments.arch, "none").eval()
    engine = TorchEngine(model, CPU, pick_precision("auto", CPU))
    return Scorer(model, make_checkpoint(model), arguments.arch, engine, BATCH)


def with_int8(scorer: Scorer, sources: list[Path], folder: Path) -> tuple[Scorer, str]:
    """The scorer in 8 bits, and how it agrees; each half of the images for one of the two."""
    images = [evaluation_transform(read_image(source), scorer.preprocessing) for source in sources]
    network = folder / "int8.xml"
    int8.quantise(scorer, images[::2], network)
    exact = Scorer(scorer.model, scorer.checkpoint, "", TorchEngine(scorer.model, CPU, torch.float32), scorer.batch)
    agreement = int8.compare(exact, int8.Int8Engine(network), images[1::2])
    return Scorer(scorer.model, scorer.checkpoint, "", int8.Int8Engine(network), scorer.batch), agreement.sentence()


def measure(contestants: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Seconds by contestant, one a round, in turns."""
    seconds = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, act in contestants.items():
            start = time.perf_counter()
            act()
            if number:  # the first round warms up
                seconds[name].append(time.perf_counter() - start)
    return seconds


def table(seconds: dict[str, list[float]], count: int) -> str:
    lines = ["| | images/s | times plain | of decode |", "| --- | --- | --- | --- |"]
    for name, times in seconds.items():
        ratios = {
            other: statistics.median(b / a for a, b in zip(times, seconds[other], strict=True))
            for other in ("plain", "decode")
        }
        rate = count / statistics.median(times)
        lines.append(f"| {name} | {rate:.1f} | {ratios['plain']:.2f} | {ratios['decode']:.0%} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="folder of images, flat")
    parser.add_argument("--model", help="checkpoint; without it a random --arch, for speed only")
    parser.add_argument("--arch", default="vgg19")
    parser.add_argument("--count", type=int, default=64, help="images scored")
    parser.add_argument("--calibration", type=int, default=400, help="other images, half to quantise, half to compare")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    sources = sorted(path for path in arguments.images.iterdir() if path.is_file())
    scorer = load(arguments)
    with tempfile.TemporaryDirectory() as folder:
        (pngs := Path(folder) / "png").mkdir()
        items = write_pngs(sources[: arguments.count], pngs)
        contestants = {"plain": partial(run_plain, scorer, items), "torch": partial(run_filter, scorer, items)}
        if int8.available():
            others = sources[arguments.count : arguments.count + arguments.calibration]
            fast, sentence = with_int8(scorer, others, Path(folder))
            print(sentence, file=sys.stderr)
            contestants["int8"] = partial(run_filter, fast, items)
        contestants["decode"] = partial(run_filter, scorer, items, score=False)
        print(table(measure(contestants, arguments.rounds), len(items)))


if __name__ == "__main__":
    main()
