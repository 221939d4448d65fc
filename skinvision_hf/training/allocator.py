"""The C library's memory between the steps of training on CPUs."""

import ctypes

__all__ = ["keep_freed_memory"]

# Names and numbers of glibc's malloc.h; see mallopt(3).
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
LARGEST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees, for the next step.

    A step of training allocates the same large blocks as the one before it. By default, glibc hands each of them back
    to the system and asks for it again, which clears every page. Other C libraries are left as they are.

    Returns:
        Whether the C library did it.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no glibc
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, LARGEST))
