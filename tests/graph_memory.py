"""Memory that loops leave behind: graphs of TensorFlow, and the resident memory of the process."""

import ctypes
import gc
import os
from collections.abc import Callable

_PAGE = os.sysconf("SC_PAGE_SIZE")


def graphs() -> int:
    """Returns how many graphs of functions there are."""
    gc.collect()
    return sum(type(each).__name__ == "FuncGraph" for each in gc.get_objects())


def growth(call: Callable[[], object], count: int, settled: int) -> tuple[float, int]:
    """Returns the growth of memory in `count` calls, in MiB, and to the graphs; from call `settled` on."""
    memory = graphs_before = 0
    for number in range(count):
        call()
        if number + 1 == settled:
            graphs_before, memory = graphs(), _resident()
    graphs_after = graphs()
    return (_resident() - memory) / 2**20, graphs_after - graphs_before


def _resident() -> int:
    """Bytes, without those that were freed and that the C library keeps for later, tens of MiB at times."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc
    if trim is not None:
        trim(0)
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * _PAGE
