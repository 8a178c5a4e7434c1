"""One training in its own process: `model_training.main`, then what it needed.

    python -m artifact_detection.attempts.job NEEDED.json --config FILE ...    # the rest is model_training.py's

Its own process, so that a crash takes nothing else along and peak memory is that of this training.
"""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import torch

from artifact_detection.system.files import write_atomic
from artifact_detection.training.runs import git_commit

try:
    import resource
except ImportError:  # Windows
    resource = None


def peak_memory() -> float:
    """Largest memory in MB so far: of the GPU where one was used, else of this process; NaN where unknown."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 1e6
    if resource is None:
        return float("nan")
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def code_version() -> str:
    """The commit, with "+changes" if tracked files outside the folder of attempts differ: results are written there."""
    commit = git_commit().removesuffix("+changes")[:10]
    if commit == "unknown":
        return commit
    command = ["git", "status", "--porcelain", "-uno", "--", ".", ":!model-training-attempts"]
    changes = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, check=True).stdout
    return commit + ("+changes" if changes else "")


def end_with_parent() -> None:
    """Let a killed runner take its training along: it can go on at any point, but not twice at once."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main(arguments: list[str]) -> int:
    """The exit code of the training; NEEDED.json only appears if it came to its end."""
    from model_training import main as train  # a script beside the package, found from the project's folder

    end_with_parent()
    commit = code_version()  # before the training
    code = train(arguments[1:])
    if code in (0, 1):
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"cpu, {os.cpu_count()} cores"
        needed = {"peak_memory_mb": round(peak_memory()), "device": device, "commit": commit}
        write_atomic(Path(arguments[0]), json.dumps(needed))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
