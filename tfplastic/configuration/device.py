"""Chooses the device that TensorFlow computes on. TensorFlow is imported only when a device is selected."""

import os
import pathlib
import platform
import re

from tfplastic._text.lines import one_line
from tfplastic.configuration.errors import UsageError


def parse(device: str) -> tuple[str, int]:
    """Returns the kind ('auto', 'cpu' or 'gpu') and the number that `device` asks for.

    Example:
        >>> from tfplastic.configuration import device
        >>> device.parse('gpu:1')
        ('gpu', 1)

    Raises:
        UsageError: `device` is none of 'auto', 'cpu', 'gpu', 'gpu:I'.
    """
    match = re.fullmatch(r"(auto|cpu|gpu)|gpu:(\d+)", device)
    if match is None:
        raise UsageError(f"--device must be auto, cpu, gpu or gpu:I with an integer I. Received: {device!r}")
    return match[1] or "gpu", int(match[2] or 0)


def select(device: str, deterministic: bool = False) -> str:
    """Makes TensorFlow compute on `device` only; call it before TensorFlow computes anything.

    The other GPUs are hidden, and memory on the chosen one grows as needed, so that programs can share it.

    Args:
        device: 'auto' (the first GPU, else the CPU), 'cpu', 'gpu' (the first) or 'gpu:I'.
        deterministic: whether only operations that give the same bits each time are used.

    Returns:
        A name to print and to record, such as 'CPU (2 cores, AMD EPYC)' or 'GPU 0 (NVIDIA H200)'.

    Raises:
        UsageError: `device` is malformed or requests a GPU that does not exist.
    """
    kind, index = parse(device)
    import tensorflow as tf  # Here, so that a malformed device is an error before TensorFlow's slow import.

    gpus = tf.config.list_physical_devices("GPU")
    if kind == "gpu" and index >= len(gpus):
        raise UsageError(f"--device={device}: {_gpus_found(len(gpus))}")
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    if kind == "cpu" or not gpus:
        tf.config.set_visible_devices([], "GPU")
        return _cpu_name()
    gpu = gpus[index]
    tf.config.set_visible_devices([gpu], "GPU")
    tf.config.experimental.set_memory_growth(gpu, True)
    model = tf.config.experimental.get_device_details(gpu).get("device_name", "model unknown")
    return f"GPU {index} ({model})"


def _gpus_found(count: int) -> str:
    if count:
        found = f"{count} GPU{'s' if count > 1 else ''}"
        return f"TensorFlow finds only {found}, numbered from 0. Give a lower number"
    return (
        "TensorFlow finds no GPU. `make train GPU=1` installs its CUDA libraries, --debug shows its messages,"
        " --device=cpu trains without"
    )


def _cpu_name() -> str:
    # Cores this process may use, which in a container or under taskset are fewer than the machine's.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"CPU ({cores} core{'s' if cores > 1 else ''}, {_cpu_model()})"


def _cpu_model() -> str:
    information = pathlib.Path("/proc/cpuinfo")
    if information.exists():
        match = re.search(r"^model name\s*:\s*(.+)$", information.read_text("utf-8"), re.MULTILINE)
        if match:
            return one_line(match[1])
    return platform.processor() or platform.machine()
