"""Requests to build every arm of an experiment in a separate process, and the answers for the sweep."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Self

from tfplastic.configuration.errors import UsageError
from tfplastic.sweeps.job import import_path
from tfplastic.sweeps.run_process import thread_limits


class Request(NamedTuple):
    """Request to the process.

    Attributes:
        arms: name, gin files and gin statements of each arm.
        seeds: seeds of the experiment.
        roots: path or URL of the run root, then of others whose finished runs count.
        device: device, in the form that `configuration.device.select` takes.
        is_timed: whether speed and disk are estimated.
        debug: whether all that TensorFlow says is shown.
        allow_imports: whether gin files may import modules.
    """

    arms: list[tuple[str, list[str], list[str]]]
    seeds: list[int]
    roots: list[str]
    device: str
    is_timed: bool
    debug: bool
    allow_imports: bool = False

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Returns the request that `json.dumps(request._asdict())` came from."""
        return cls(**values)


class SeedState(NamedTuple):
    """State of the run of one seed.

    Attributes:
        seed: its root seed.
        directory: path or URL of the run directory.
        is_finished: whether nothing is left to do.
        step: gradient steps done.
    """

    seed: int
    directory: str
    is_finished: bool
    step: int


class Answer(NamedTuple):
    """Facts about an arm.

    Attributes:
        arm: its name.
        config: its whole gin configuration, as text.
        total_steps: length of a run in gradient steps.
        device: name of the device on which speed was tried.
        probe_steps: gradient steps of its probes; None if not asked for.
        seconds_per_step: duration of a gradient step there; None if not requested.
        disk_bytes: size of the checkpoints of a run; None if not requested.
        seeds: state of each seed's run.
        notes: remarks for the user, a line each.
    """

    arm: str
    config: str
    total_steps: int
    device: str
    probe_steps: int | None
    seconds_per_step: float | None
    disk_bytes: int | None
    seeds: list[SeedState]
    notes: list[str]


def check(request: Request, threads: int, on_answer: Callable[[int], None]) -> list[Answer]:
    """Builds every arm in a process of its own.

    Args:
        request: the request.
        threads: number of TensorFlow's threads in that process.
        on_answer: function called with the number of arms that are done.

    Raises:
        UsageError: an arm cannot be built, or a run directory holds another run; says which and why.
    """
    answers = []
    for values in _answers(request, threads):
        if "error" in values:
            raise UsageError(values["error"])
        values["seeds"] = [SeedState(*each) for each in values["seeds"]]
        answers.append(Answer(**values))
        on_answer(len(answers))
    return answers


def _answers(request: Request, threads: int) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryFile("w+", encoding="utf-8") as asked:
        asked.write(json.dumps(request._asdict()))
        asked.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-m", "tfplastic.sweeps.preflight.process"],
            env={**os.environ, **thread_limits(threads), "PYTHONPATH": import_path()},
            stdin=asked,
            stdout=subprocess.PIPE,
            start_new_session=True,
            encoding="utf-8",
        )
    with process:
        try:
            for line in process.stdout or ():
                yield json.loads(line)
            code = process.wait()
        finally:
            process.kill()  # Where it has not ended, nobody waits for its answers any more.
    if code not in (0, 2):
        text = f"the process that builds the arms ended with code {code}"
        raise RuntimeError(f"{text}; bin/train --dry_run with the files of an arm shows the reason")
