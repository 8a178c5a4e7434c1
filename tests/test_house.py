"""The rooms of the package stand on floors, and a room imports only from floors below its own."""

import ast
from pathlib import Path

import pytest

from artifact_detection.system.paths import ROOT

PACKAGE = "artifact_detection"
FLOORS = {
    1: ("system", "labels", "intervals"),
    2: ("images", "figures", "labels_table"),
    3: ("detector", "audit", "injection", "organizing"),
    4: ("evaluation", "portraits"),
    5: ("filtering", "training"),
    6: ("attempts",),
}
FLOOR_OF = {room: floor for floor, rooms in FLOORS.items() for room in rooms}
SCRIPTS = {path.stem for path in ROOT.glob("*.py")}
MODULES = sorted((ROOT / PACKAGE).rglob("*.py"))


def room_of(module: str) -> str | None:
    """artifact_detection.images.faces -> images; None outside the package."""
    parts = module.split(".")
    return parts[1] if parts[0] == PACKAGE and len(parts) > 1 else None


def imported_modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module == PACKAGE:
        return [f"{PACKAGE}.{alias.name}" for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) else []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT / PACKAGE)))
def test_a_room_imports_from_below_only(path: Path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    room = room_of(module)
    for node in ast.walk(tree):
        for name in imported_modules(node):
            assert name.split(".")[0] not in SCRIPTS, f"{module} imports the script {name}"
            other = room_of(name)
            if other is None:
                continue
            assert node in tree.body, f"{module} imports {name} inside a function: that hides a circle"
            assert other == room or FLOOR_OF[other] < FLOOR_OF[room], f"{module} must not import {name}"


def test_every_room_has_a_floor():
    rooms = {path.stem if path.is_file() else path.name for path in (ROOT / PACKAGE).iterdir()}
    assert rooms - {"__init__", "__pycache__"} == set(FLOOR_OF)
