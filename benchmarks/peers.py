"""What other tools do with the same images; for a Python that has requirements-bench.txt and need not see the project.

audit_speed.py and near_duplicates.py run it: python peers.py TOOL FOLDER, python peers.py pairs < JOB
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path


def cleanvision(folder: Path) -> None:
    from cleanvision import Imagelab

    Imagelab(data_path=str(folder)).find_issues(verbose=False)


def imagededup(folder: Path) -> None:
    from imagededup.methods import PHash

    PHash(verbose=False).find_duplicates(image_dir=str(folder))


TOOLS = {"cleanvision": cleanvision, "imagededup": imagededup}


def print_seconds(tool: Callable[[Path], object], folder: Path) -> None:
    """A first pass over two files imports everything, the second pass counts."""
    with (
        tempfile.TemporaryDirectory() as small,
        open(os.devnull, "w") as nul,
        redirect_stdout(nul),
        redirect_stderr(nul),
    ):
        for source in sorted(folder.iterdir())[:2]:
            (Path(small) / source.name).write_bytes(source.read_bytes())
        tool(Path(small))
        start = time.perf_counter()
        tool(folder)
        seconds = time.perf_counter() - start
    print(seconds)


def print_pairs() -> None:
    """Encode everything once, then search originals and copies of each transformation: imagededup's pairs, as JSON."""
    from imagededup.methods import PHash

    job, encoder = json.load(sys.stdin), PHash(verbose=False)
    encode = lambda paths: {Path(path).name: encoder.encode_image(image_file=path) for path in paths}  # noqa: E731
    originals, found = encode(job["originals"]), {}
    for name, folder in job["folders"].items():
        everything = originals | encode(map(str, sorted(Path(folder).iterdir())))
        duplicates = encoder.find_duplicates(encoding_map=everything)
        found[name] = sorted({tuple(sorted((key, other))) for key, others in duplicates.items() for other in others})
    print(json.dumps(found))


if __name__ == "__main__":
    print_pairs() if sys.argv[1] == "pairs" else print_seconds(TOOLS[sys.argv[1]], Path(sys.argv[2]))
