import subprocess
import sys

from artifact_detection.system.paths import ROOT

SCRIPT = """
import sys
from artifact_detection.system.output import run_script

def main():
    print("first", flush=True)
    sys.stdin.read()  # until the reader is gone
    for _ in range(3):
        print("more", flush=True)
        print("more", file=sys.stderr)
    print("last")
    return 1

run_script(main)
"""


def test_a_reader_that_goes_away_changes_neither_the_work_nor_its_exit_code():
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stdin=pipe, stdout=pipe, stderr=pipe, cwd=ROOT) as child:
        assert child.stdout.readline() == b"first\n"
        child.stdout.close()
        child.stderr.close()
        child.stdin.close()
        assert child.wait(60) == 1
