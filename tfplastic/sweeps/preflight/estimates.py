"""The cost of a run: time by a trial, disk by counting. Imports TensorFlow."""

import pathlib
import re
import tempfile
from typing import Any

import tensorflow as tf

from tfplastic.training import Loop
from tfplastic.training.events.measurements.schedule import Schedule
from tfplastic.training.run.bindings import parse_bindings


def speed_key(loop: Loop, operative_text: str) -> tuple[Any, ...]:
    """Returns a key of all settings that affect the speed of a step, so that equal arms are timed once.

    Runs that differ in nothing but strings, such as the game, and the size of the last layer take as long.

    Args:
        loop: loop of the run.
        operative_text: its operative config.
    """
    bindings = parse_bindings(operative_text).items()
    shapes = [tuple(weight.shape) for weight in loop.task.model.trainable_variables]
    return tuple((name, value) for name, value in bindings if value[0] not in "'\""), tuple(shapes[:-2])


def seconds_per_step(loop: Loop) -> float:
    """Measures the duration of a gradient step by a trial; discard the loop afterwards."""
    return loop.driver.seconds_per_step()


def probe_steps(loop: Loop) -> int:
    """Returns the gradient steps that the probes of a run take, on all targets, fresh networks included.

    They need no acting and no target network, so counting them like the run's own steps overestimates their
    time.
    """
    probe = loop.config.probe
    if probe is None:
        return 0
    count = Schedule("probe_period", loop.config.probe_period).count(loop.config.total_steps)
    fresh = probe.baselines * (count if loop.config.probe_on == "current" else 1)
    return (count + fresh) * probe.num_targets * probe.num_steps


def disk_bytes(loop: Loop) -> int:
    """Returns the size of all checkpoints that a run keeps: variables, state of the task, replay.

    Metrics and event files are extra, a few kilobytes for each log.
    """
    with tempfile.TemporaryDirectory() as scratch:
        tf.train.Checkpoint(**loop.parts.trackables()).write(str(pathlib.Path(scratch, "variables")))
        variables = sum(path.stat().st_size for path in pathlib.Path(scratch).iterdir())
    return loop.config.keep_checkpoints * (variables + loop.driver.state_bytes()) + _replay_bytes(loop)


def _replay_bytes(loop: Loop) -> int:
    """Returns the size of the replay that all checkpoints share, from the task's own estimate."""
    config = loop.config
    rows = dict(loop.driver.describe(config.total_steps, config.checkpoint_period, config.keep_checkpoints))
    said = re.match(r"up to ([\d.]+) GB", rows.get("replay on disk", ""))
    return round(1e9 * float(said[1])) if said else 0
