"""Regions through the filter: in scores.csv, in a run that goes on, and in the formats of other tools."""

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

import cv2
import jsonschema
import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from torch.nn import functional as F

import filter_images
from artifact_detection.detector.checkpoints import Checkpoint
from artifact_detection.detector.scoring import Scorer
from artifact_detection.images.transforms import Preprocessing
from artifact_detection.labels import FAMILIES

BOX = (140, 60, 260, 120)  # of the red rectangle: left, top, right, bottom
GREEN = (20, 150, 60, 190)
CELL = 13  # half a cell of 32 x 32 in 400 x 300 pixels, and rounding
THRESHOLDS = ["--threshold", "0.2", "0.5", "--gallery", "10"]


class ColourEngine:
    """Sees artifacts where it is red (overlay) or green (anatomy); the surest cell speaks for the image."""

    name, parallel, calls = "colour", 1, 0

    def evidence(self, images: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        self.calls += 1
        red, green, blue = F.avg_pool2d(images.float(), 8).unbind(1)
        overlay, anatomy = ((colour - blue) / 25 - 5 for colour in (red, green))
        nothing = torch.full_like(overlay, -5)
        maps = torch.stack([overlay.maximum(anatomy), overlay, nothing, anatomy, nothing], 1)
        return maps[:, 0].amax((1, 2)).numpy(), maps.numpy()

    def __call__(self, images: torch.Tensor) -> np.ndarray:
        return self.evidence(images)[0]


class Network:
    preprocessing, has_regions = Preprocessing(256), True


@pytest.fixture
def engine(monkeypatch) -> ColourEngine:
    engine = ColourEngine()
    scorer = Scorer(Network(), Checkpoint(), "colours-1", engine, batch=2)
    monkeypatch.setattr(filter_images, "load_predictor", lambda *_: scorer)
    return engine


@pytest.fixture
def images(tmp_path) -> Path:
    """A clean image, one with a red rectangle, one with a larger red and a green one, and a file that is none."""
    folder = tmp_path / "images"
    for name, boxes in {"clean.png": [], "red.png": [BOX], "sub/both é.jpg": [BOX, GREEN]}.items():
        pixels = np.full((300, 400, 3), 90, np.uint8)
        for (left, top, right, bottom), level in zip(boxes, ((0, 0, 255), (0, 220, 0)), strict=False):
            pixels[top:bottom, left:right] = level
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())
    (folder / "broken.png").write_bytes(b"no image")
    return folder


def run(images: Path, *arguments: str, out: str = "out") -> tuple[Path, int]:
    folder = images.parent / out
    return folder, filter_images.main([str(images), "--out", str(folder), *THRESHOLDS, *arguments])


def read_rows(folder: Path) -> dict[str, dict[str, str]]:
    with open(folder / "scores.csv", encoding="utf-8", newline="") as handle:
        return {Path(row["path"]).name: row for row in csv.DictReader(handle)}


def test_scores_say_where_and_of_which_family(images, engine):
    folder, code = run(images)
    rows = read_rows(folder)
    assert code == 1 and {name: row["band"] for name, row in rows.items()} == {
        "broken.png": "", "clean.png": "keep", "red.png": "reject", "both é.jpg": "reject"
    }  # fmt: skip
    assert (rows["clean.png"]["family"], rows["clean.png"]["boxes"]) == ("", "")
    [[*box, score, family]] = json.loads(rows["red.png"]["boxes"])
    assert box == pytest.approx(BOX, abs=CELL)
    assert family == rows["red.png"]["family"] == "overlay"
    assert score == pytest.approx(float(rows["red.png"]["probability"]), abs=0.001)
    assert [row[5] for row in json.loads(rows["both é.jpg"]["boxes"])] == ["overlay", "anatomy"]


def test_a_run_that_goes_on_has_the_regions_of_the_first(images, engine):
    folder, _ = run(images)
    first, calls = (folder / "scores.csv").read_bytes(), engine.calls
    run(images)
    assert (folder / "scores.csv").read_bytes() == first and engine.calls == calls == 2  # two batches, never again


def test_coco_is_read_by_its_own_library(images, engine, capsys):
    folder, _ = run(images, "--export", "coco", "--export", "masks")
    coco = COCO(str(folder / "coco.json"))
    assert [row["name"] for row in coco.loadCats(coco.getCatIds())] == list(FAMILIES)
    assert [Path(row["file_name"]).name for row in coco.imgs.values()] == ["clean.png", "red.png", "both é.jpg"]
    assert [coco.cats[row["category_id"]]["name"] for row in coco.anns.values()] == ["overlay", "overlay", "anatomy"]
    for row in coco.anns.values():
        mask = coco.annToMask(row)
        left, top, right, bottom = BOX if row["category_id"] == 1 else GREEN
        truth = np.zeros_like(mask)
        truth[top:bottom, left:right] = 1
        assert (mask & truth).sum() / (mask | truth).sum() > 0.6
        assert row["area"] == mask.sum() and row["bbox"] == list(cv2.boundingRect(mask))


def test_masks_are_those_of_coco_and_old_ones_go(images, engine):
    folder, _ = run(images, "--export", "coco", "--export", "masks")
    coco = COCO(str(folder / "coco.json"))
    assert {path.name for path in (folder / "masks").rglob("*.png")} == {"red.png.png", "both é.jpg.png"}
    for image in list(coco.imgs.values())[1:]:
        [path] = (folder / "masks").rglob(f"{Path(image['file_name']).name}.png")
        painted = np.array(Image.open(path))
        expected = np.zeros_like(painted)
        for row in coco.loadAnns(coco.getAnnIds(image["id"])):
            expected[coco.annToMask(row) > 0] = row["category_id"]
        assert np.array_equal(painted, expected)
    mine = folder / "masks" / "mine.png"
    mine.touch()
    (images / "red.png").unlink()
    run(images, "--export", "masks")
    assert {path.name for path in (folder / "masks").rglob("*.png")} == {"both é.jpg.png", "mine.png"}


def test_masks_that_somebody_corrected_are_kept(images, engine):
    folder, _ = run(images, "--export", "masks")
    corrected, masks = folder / "masks" / "red.png.png", folder / "masks"
    corrected.write_bytes(b"corrected")
    for _ in range(2):
        run(images, "--export", "masks")
        assert corrected.read_bytes() == b"corrected"
        assert {path.name for path in masks.rglob("*.png")} == {"red.png.png", "2-red.png.png", "both é.jpg.png"}
    assert (
        "2-red.png.png" in (masks / "masks.csv").read_text() and ",red.png.png" not in (masks / "masks.csv").read_text()
    )


def test_a_masks_csv_that_is_not_ours_is_refused(images, engine, capsys):
    folder, _ = run(images)
    (folder / "masks").mkdir()
    (folder / "masks" / "masks.csv").write_text("path,mask\nx,mine.png\n")
    (folder / "masks" / "mine.png").touch()
    assert run(images, "--export", "masks")[1] == 2
    assert "masks.csv, which is not of a run" in capsys.readouterr().err
    assert {path.name for path in (folder / "masks").iterdir()} == {"masks.csv", "mine.png"}


TASKS = {  # labelstud.io/guide/predictions: "JSON format of pre-annotations"
    "type": "array",
    "items": {
        "type": "object",
        "required": ["data", "predictions"],
        "properties": {
            "data": {"required": ["image"], "properties": {"image": {"pattern": "^/data/local-files/"}}},
            "predictions": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["model_version", "score", "result"],
                    "properties": {"score": {"$ref": "#/$defs/share"}, "result": {"items": {"$ref": "#/$defs/region"}}},
                },
            },
        },
    },
    "$defs": {
        "share": {"type": "number", "minimum": 0, "maximum": 1},
        "percent": {"type": "number", "minimum": 0, "maximum": 100},
        "region": {
            "type": "object",
            "required": ["id", "type", "from_name", "to_name", "original_width", "original_height", "value", "score"],
            "properties": {
                "type": {"const": "rectanglelabels"},
                "score": {"$ref": "#/$defs/share"},
                "value": {
                    "required": ["x", "y", "width", "height", "rotation", "rectanglelabels"],
                    "properties": {
                        **{name: {"$ref": "#/$defs/percent"} for name in ("x", "y", "width", "height")},
                        "rectanglelabels": {"items": {"enum": list(FAMILIES)}},
                    },
                },
            },
        },
    },
}  # fmt: skip


def test_label_studio_tasks_fit_their_schema(images, engine):
    folder, _ = run(images, "--export", "labelstudio")
    tasks = json.loads((folder / "labelstudio.json").read_text(encoding="utf-8"))
    jsonschema.validate(tasks, TASKS)
    assert [len(task["predictions"][0]["result"]) for task in tasks] == [0, 1, 2]
    interface = ElementTree.parse(folder / "labelstudio.xml").getroot()
    labels = interface.find("RectangleLabels")
    region = tasks[1]["predictions"][0]["result"][0]
    assert (labels.get("name"), labels.get("toName")) == (region["from_name"], region["to_name"])
    assert [label.get("value") for label in labels] == list(FAMILIES)
    value = tasks[1]["predictions"][0]["result"][0]["value"]
    assert value["rectanglelabels"] == ["overlay"]
    assert [value["x"] * 4, value["y"] * 3] == pytest.approx(BOX[:2], abs=CELL)


def test_moved_images_are_exported_where_they_are(images, engine):
    folder, _ = run(images, "--action", "move", "--export", "coco")
    names = [row["file_name"] for row in json.loads((folder / "coco.json").read_text())["images"]]
    assert names[1] == str(folder / "rejected" / "red.png") and all(Path(name).exists() for name in names)


def test_a_detector_without_regions_exports_nothing_and_says_so(images, engine, monkeypatch, capsys):
    monkeypatch.setattr(Network, "has_regions", False)
    _, code = run(images, "--export", "coco")
    assert code == 2 and "--export needs a detector that sees regions" in capsys.readouterr().err
    folder, code = run(images, "--heatmaps", "0")
    assert code == 1 and read_rows(folder)["red.png"]["boxes"] == ""


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "no such file"), ("a folder", ": Is a directory"), (b"version https://git-lfs", "refused")],
)
def test_a_missing_or_damaged_shipped_detector_is_one_clear_sentence(
    images, tmp_path, monkeypatch, capsys, content, reason
):
    shipped = tmp_path / "detector.pt"
    if content == "a folder":
        shipped.mkdir()
    elif content:
        shipped.write_bytes(content)
    monkeypatch.setattr(filter_images, "SHIPPED", shipped)
    _, code = run(images)
    [line] = capsys.readouterr().err.splitlines()
    assert code == 2 and reason in line and str(shipped) in line and "git checkout -- pretrained" in line
