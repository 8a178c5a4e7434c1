"""What happens to memory that is freed: given back to the system, it comes back a page fault for every 4 KiB."""

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # of glibc's malloc.h
LARGEST = 32 * 2**20  # the highest threshold that glibc takes
NEVER = 2**31 - 1


def keep_freed_memory(large: bool = True) -> None:
    """With glibc, keep what is freed for the next time; elsewhere do nothing.

    large: blocks of over 32 MiB too. Without them, a single huge image does not stay in memory.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_TRIM_THRESHOLD, NEVER)
        libc.mallopt(*((M_MMAP_MAX, 0) if large else (M_MMAP_THRESHOLD, LARGEST)))
