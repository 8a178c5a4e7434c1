"""The README's commands exist and its tree is the real one."""

import importlib.util
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```\n(.*?)```", README.replace("   ```", "```"), flags=re.DOTALL)
COMMANDS = sorted({line.split("#")[0].strip() for block in BLOCKS for line in block.splitlines()} - {""})
SCRIPTS = [command for command in COMMANDS if re.search(r"python\S* +(-m artifact_detection\S*|\w+\.py)", command)]


@cache
def help_text(program: tuple[str, ...]) -> str:
    done = subprocess.run([sys.executable, *program, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_commands_to_check():
    assert {"make demo", "make test"} <= set(COMMANDS) and len(SCRIPTS) >= 5


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make ")])
def test_make_target_exists(command):
    assert re.search(rf"^{command.split()[1]}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("command", SCRIPTS)
def test_script_exists_and_knows_its_flags(command):
    words = re.split(r"python\S* +", command, maxsplit=1)[1].split()
    program = tuple(words[:2] if words[0] == "-m" else words[:1])
    if program[0] == "-m":
        assert importlib.util.find_spec(program[1])
    for flag in (word for word in words if word.startswith("--")):
        assert re.search(rf"{flag}\b", help_text(program)), f"{flag} is unknown"


def test_linked_and_shown_files_exist():
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links and [link for link in links if not (ROOT / link).exists()] == []


def test_tree_names_what_is_there():
    tree = next(block for block in BLOCKS if block.startswith("README.md"))
    named = {line.split()[0].rstrip("/") for line in tree.splitlines() if line and not line.startswith(" ")}
    rooms = set(re.findall(r"^  [ 1-6] ([\w.]+)", tree, flags=re.MULTILINE))
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert {path.split("/")[0] for path in tracked if not path.startswith(".")} == named
    package = {path.split("/")[1] for path in tracked if path.startswith("artifact_detection/")} - {"__init__.py"}
    assert package == rooms
