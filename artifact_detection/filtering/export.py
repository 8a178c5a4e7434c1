"""Regions in the formats of other tools: COCO, Label Studio, masks as PNG files.

coco.json: every usable image, a category a family, boxes and masks (run-length encoded) with their scores
(cocodataset.org/#format-data). labelstudio.json: a task an image with the regions as predictions to correct
(labelstud.io/guide/predictions), labelstudio.xml: the interface of its project; it opens images where it was started
with LOCAL_FILES_SERVING_ENABLED=true and LOCAL_FILES_DOCUMENT_ROOT=/. masks/: a PNG file for each image with regions,
1 + the family's number where one lies, in colours, and masks.csv, which says whose it is. Nothing of an image that is
kept counts as a region.
"""

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np
from PIL import Image

from artifact_detection.detector.regions import Region, draw_regions
from artifact_detection.filtering.results import Judged, regions_of
from artifact_detection.labels import FAMILIES
from artifact_detection.system.files import sha256_file, write_atomic
from artifact_detection.system.ownership import OwnFolder
from artifact_detection.system.paths import WORK, FreeNames, harmless, lower_end, printable_path
from artifact_detection.system.tables import read_table, write_table

COCO, MASKS, INDEX = "coco.json", "masks", "masks.csv"
COLUMNS = ("path", "mask", "sha256")  # of masks.csv
LABEL_STUDIO, INTERFACE = "labelstudio.json", "labelstudio.xml"
FILES = (COCO, MASKS, LABEL_STUDIO, INTERFACE)  # what an output folder gets
COLOURS = ((0, 0, 0), (86, 180, 233), (230, 159, 0), (204, 121, 167), (240, 228, 66))  # nothing, then the families
LABELING = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="family" toName="image">'
    + "".join(f'<Label value="{family}"/>' for family in FAMILIES)
    + "</RectangleLabels></View>"
)


def where(row: Judged, places: dict[str, Path]) -> str:
    """The path of an image now: `places` has those that were moved."""
    return printable_path(str(places.get(row.record.path, row.record.path)))


# ---- COCO


def write_coco(folder: Path, judged: Sequence[Judged], places: dict[str, Path], model: str) -> Path:
    usable = [row for row in judged if row.band]
    categories = [{"id": 1 + number, "name": family} for number, family in enumerate(FAMILIES)]
    parts = {
        "info": json.dumps({"description": "regions with artifacts", "model": model}),
        "categories": json.dumps(categories),
        "images": _list(
            {"id": number, "file_name": where(row, places), "width": row.record.width, "height": row.record.height,
             "score": row.record.probability, "band": row.band}
            for number, row in enumerate(usable, 1)
        ),
        "annotations": _list(_coco_annotations(usable)),
    }  # fmt: skip
    sections = (chain([f'"{name}": '], text) for name, text in parts.items())
    write_atomic(folder / COCO, _joined("{", ",\n", sections, "}\n"))
    return folder / COCO


def _list(rows: Iterable[dict]) -> Iterator[str]:
    return _joined("[", ",\n", ([json.dumps(row)] for row in rows), "]")


def _joined(start: str, between: str, pieces: Iterable[Iterable[str]], end: str) -> Iterator[str]:
    """Text a piece at a time: of a million images it would not fit into memory."""
    yield start
    for number, piece in enumerate(pieces):
        yield from chain([between] if number else [], piece)
    yield end


def _coco_annotations(usable: Sequence[Judged]) -> Iterator[dict]:
    found = ((number, row, region) for number, row in enumerate(usable, 1) for region in regions_of(row))
    for identity, (number, row, region) in enumerate(found, 1):
        mask = draw_regions([region], row.record.width, row.record.height) > 0
        yield {
            "id": identity,
            "image_id": number,
            "category_id": 1 + FAMILIES.index(region.family),
            "bbox": list(cv2.boundingRect(mask.astype(np.uint8))),  # left, top, width, height
            "segmentation": {"size": list(mask.shape), "counts": run_lengths(mask)},
            "area": int(mask.sum()),
            "iscrowd": 0,
            "score": region.score,
        }


def run_lengths(mask: np.ndarray) -> list[int]:
    """(H, W) bool -> lengths of the runs of False, True, False, … down the columns: COCO's uncompressed RLE."""
    flat = np.concatenate([[False], mask.ravel(order="F"), [False]])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff(np.concatenate([[0], edges, [mask.size]])).tolist()


# ---- Label Studio


def write_label_studio(folder: Path, judged: Sequence[Judged], places: dict[str, Path], model: str) -> Path:
    tasks = (_task(row, where(row, places), model) for row in judged if row.band)
    write_atomic(folder / INTERFACE, LABELING)
    write_atomic(folder / LABEL_STUDIO, _list(tasks))
    return folder / LABEL_STUDIO


def _task(row: Judged, path: str, model: str) -> dict:
    record = row.record
    result = [_rectangle(number, region, record.width, record.height) for number, region in enumerate(regions_of(row))]
    return {
        "data": {"image": f"/data/local-files/?d={quote(path.lstrip('/'))}", "path": path, "band": row.band},
        "predictions": [{"model_version": model, "score": record.probability, "result": result}],
    }


def _rectangle(number: int, region: Region, width: int, height: int) -> dict:
    """Places and sizes are percent of the image's sides."""
    left, top, right, bottom = region.box
    box = {"x": left / width, "y": top / height, "width": (right - left) / width, "height": (bottom - top) / height}
    return {
        "id": f"region{number}",
        "type": "rectanglelabels",
        "from_name": "family",
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {name: 100 * share for name, share in box.items()}
        | {"rotation": 0, "rectanglelabels": [region.family]},
        "score": region.score,
    }


# ---- masks


def write_masks(folder: Path, judged: Sequence[Judged], places: dict[str, Path], _model: str) -> Path:
    """Masks of an earlier run that are not written again are removed.

    Other files in the folder, and masks that somebody has corrected since, are left alone: new ones get other names.
    """
    folder = folder / MASKS
    earlier = _earlier(folder)
    files = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    names = _names([row for row in judged if regions_of(row)], (name for name in files if name not in earlier))
    table = {name: {"path": where(row, places), "mask": name, "sha256": ""} for name, row in names.items()}
    leaving = [{"path": "", "mask": name, "sha256": sha256} for name, sha256 in earlier.items() if name not in names]
    write_table(folder / INDEX, COLUMNS, [*table.values(), *leaving])
    for name, row in names.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        data = _png(draw_regions(regions_of(row), row.record.width, row.record.height))
        write_atomic(folder / name, data, folder / WORK)
        table[name]["sha256"] = hashlib.sha256(data).hexdigest()
    for row in leaving:
        (folder / row["mask"]).unlink(missing_ok=True)
    write_table(folder / INDEX, COLUMNS, table.values())
    return folder


def claim_masks(folder: Path, maker: str) -> None:
    """Raises NotOursError for a folder masks/ with somebody else's masks.csv."""
    (folder / MASKS).mkdir(exist_ok=True)
    OwnFolder.claim(folder / MASKS, maker, (INDEX,))


def _earlier(folder: Path) -> dict[str, str]:
    """The masks of earlier runs that are as they were written, with their SHA-256, "" if a run was killed meanwhile.

    No name leads out of the folder.
    """
    rows = read_table(folder / INDEX, COLUMNS) if (folder / INDEX).exists() else []
    masks = {row["mask"]: row["sha256"] for row in rows if row["mask"] == harmless(row["mask"])}
    return {
        name: sha256 for name, sha256 in masks.items()
        if (folder / name).is_file() and sha256 in ("", sha256_file(folder / name))
    }  # fmt: skip


def _names(rows: Sequence[Judged], taken: Iterable[str]) -> dict[str, Judged]:
    free = FreeNames(taken)
    names = (Path(harmless(printable_path(Path(row.item.name).as_posix()))).as_posix() for row in rows)
    return {free.take(f"{lower_end(name)}.png"): row for name, row in zip(names, rows, strict=True)}


def _png(painted: np.ndarray) -> bytes:
    image = Image.fromarray(painted)
    image.putpalette([level for colour in COLOURS for level in colour])  # makes it an image of indices
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


WRITERS = {"coco": write_coco, "labelstudio": write_label_studio, "masks": write_masks}
