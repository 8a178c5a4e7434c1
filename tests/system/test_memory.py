import platform
import subprocess
import sys

import pytest

PAGE_FAULTS = """
import resource, sys
import numpy as np
from artifact_detection.system.memory import keep_freed_memory

def page_faults() -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        np.ones(int(sys.argv[1]), dtype=np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = page_faults()
keep_freed_memory(large=sys.argv[2] == "large")
page_faults()  # memory is asked for
print(page_faults() / before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
@pytest.mark.parametrize("megabytes, setting, kept", [(100, "large", True), (30, "small", True), (100, "small", False)])
def test_freed_memory_is_used_again_without_page_faults(megabytes, setting, kept):
    command = [sys.executable, "-c", PAGE_FAULTS, str(megabytes * 10**6), setting]
    left = float(subprocess.check_output(command, text=True))
    assert left < 0.01 if kept else left > 0.9
