"""Jobs on Ray: on this machine, or on a cluster that is there."""

import os
import secrets
import socket
from collections.abc import Sequence
from typing import Any, Self

from tfplastic._text.lines import last_line
from tfplastic.sweeps import job as job_module
from tfplastic.sweeps.job import Job, JobStatus, import_path

LOCAL = "local"
"""Address of Ray started on this machine, for one sweep."""
_OBJECT_STORE_BYTES = 80 * 2**20  # Ray's least, nearly; reports of jobs are all that is in it.

_ANSWER_S = 10.0


class LostError(Exception):
    """The slot of a running job is gone; the message gives the reason in one line."""


class RayPool:
    """Pool that runs jobs as tasks of Ray; to be used as a context.

    Args:
        address: `'local'` to start Ray on this machine for as long as the context is open, `'auto'`, or
            `'host:port'`.
        cpus: processor cores that a job takes.
        gpus: GPUs that a job takes, a fraction if several share one.

    Raises:
        ConnectionError: if no cluster answers there.
    """

    def __init__(self, address: str, cpus: float, gpus: float):
        _check_answers(address)
        _quiet_environment(address)
        import ray  # Here, because it reads the environment and takes a second.

        self._ray: Any = ray
        own = {}
        if address == LOCAL:
            own = {"num_cpus": len(os.sched_getaffinity(0)), "include_dashboard": False}
            own |= {"object_store_memory": _OBJECT_STORE_BYTES, "_node_ip_address": "127.0.0.1"}
        environment = {"PYTHONPATH": import_path()}
        self._ray.init(
            address=address,
            runtime_env={"env_vars": environment},
            log_to_driver=False,
            logging_level="ERROR",
            **own,
        )
        task: Any = self._ray.remote(max_retries=0, num_returns="streaming")(job_module.work)
        self._task = task.options(num_cpus=cpus, num_gpus=gpus)

    def capacity(self, resource: str) -> float:
        """Returns the amount of `'CPU'` or `'GPU'` that all nodes have together."""
        return self._ray.cluster_resources().get(resource, 0.0)

    def submit(self, job: Job) -> Any:
        """Queues a job; returns its handle for the other methods."""
        return self._task.remote(job)

    def ready(self, tasks: Sequence[Any], timeout_s: float) -> list[Any]:
        """Returns a task with something to report, or None after the given seconds."""
        return self._ray.wait(tasks, timeout=timeout_s)[0]

    def next(self, task: Any) -> JobStatus | None:
        """Returns the next report of a task that is ready, None after the last one.

        Raises:
            LostError: if the task ended without one.
        """
        try:
            return self._ray.get(next(task))
        except StopIteration:
            return None
        except self._ray.exceptions.RayError as error:
            raise LostError(_reason(error)) from error

    def cancel(self, task: Any) -> None:
        """Asks a task to stop; it ends with `LostError` when it has."""
        self._ray.cancel(task)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._ray.shutdown()


def _check_answers(address: str) -> None:
    """Raises if nobody is at HOST:PORT, which Ray would try for two minutes."""
    host, _, port = address.rpartition(":")
    if host and "/" not in host and port.isdecimal():
        try:
            socket.create_connection((host, int(port)), _ANSWER_S).close()
        except OSError as error:
            text = f"no Ray cluster answers there: {error.strerror or error}. Start one by 'ray start --head'"
            raise ConnectionError(text) from error


def _quiet_environment(address: str) -> None:
    # Before Ray's import. It would otherwise tell its makers that it is used, and keep a token in the home
    # folder.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address == LOCAL:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _reason(error: Exception) -> str:
    """Returns the line of an error that describes it: of a task's own error, a traceback, the last line."""
    text = str(error).strip()
    first = text.partition("\n")[0].strip()
    return (last_line(text) if "Traceback" in text else first) or type(error).__name__
