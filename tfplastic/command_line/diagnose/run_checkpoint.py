"""A checkpoint of a run as something to diagnose. The run's directory is only read: it may be at work."""

import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import gin

from tfplastic.command_line import gin_config, gin_errors
from tfplastic.command_line.diagnose.subject import Subject
from tfplastic.command_line.errors import UsageError, one_line

_OPERATIVE_CONFIG = "operative_config.gin"
_CHECKPOINTS = "checkpoints"


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """One complete checkpoint of the run in `run_directory`, after gradient step `step`."""

    run_directory: pathlib.Path
    directory: pathlib.Path
    step: int


def find_checkpoint(run_directory: str, step: int | None) -> Checkpoint:
    """The checkpoint of `step`, None being the newest. Imports no TensorFlow.

    Raises:
        UsageError: there is no such directory, run or checkpoint; lists the checkpoints that there are.
    """
    path = pathlib.Path(run_directory)
    if not path.is_dir():
        raise UsageError(f"--run_dir: no such directory {run_directory!r}")
    if not (path / _OPERATIVE_CONFIG).is_file():
        raise UsageError(f"--run_dir: {run_directory!r} holds no run: it has no {_OPERATIVE_CONFIG}")
    # A folder without a manifest is one that is being written or removed.
    complete = [manifest.parent for manifest in (path / _CHECKPOINTS).glob("step_*/manifest.json")]
    by_step = {int(directory.name.removeprefix("step_")): directory for directory in sorted(complete)}
    if not by_step:
        raise UsageError(f"--run_dir: the run in {run_directory!r} has no checkpoint yet")
    if step is not None and step not in by_step:
        there = ", ".join(map(str, by_step))
        raise UsageError(f"--checkpoint must be a step with a checkpoint: {there}. Received: {step}")
    chosen = max(by_step) if step is None else step
    return Checkpoint(path, by_step[chosen], chosen)


def load(checkpoint: Checkpoint) -> Subject:
    """The Hessian of the run's training loss at `checkpoint`, on the batch that its own diagnostics see.

    Needs Keras 2, replaces gin's configuration by the run's, and starts what a task on the host interacts
    with, such as an emulator, for as long as it takes to restore the batch.

    Raises:
        UsageError: the run cannot be built or restored, or the checkpoint is from before the warm-up's end.
    """
    import tensorflow as tf

    from tfplastic.diagnostics import Snapshot
    from tfplastic.training.loop import TrainConfig

    sources = gin_config.parse([str(checkpoint.run_directory / _OPERATIVE_CONFIG)], [])
    with gin_errors.constructing(sources):
        config = gin.get_configurable(TrainConfig)()
        task = config.task
        task.build(config.seed)
    with _restoring(checkpoint):
        variables = tf.train.Checkpoint(**task.trackables()).read(str(checkpoint.directory / "variables"))
        variables.assert_existing_objects_matched()
        variables.expect_partial()  # The optimizer is not needed.
        batch, inputs = _diagnostics_batch(task, checkpoint)
    # As the training loop has it, so that `diagnostics/sharpness/all` is the largest of these eigenvalues.
    snapshot = Snapshot(
        task.model,
        inputs,
        targets=batch,
        example_losses=lambda batch: task.loss(task.model, batch).per_example_loss,
    )
    name = f"{checkpoint.run_directory.resolve().name}, gradient step {checkpoint.step:,}"
    return Subject(snapshot.hessian, name, len(tf.nest.flatten(inputs)[0]), checkpoint.step)


def _diagnostics_batch(task: Any, checkpoint: Checkpoint) -> tuple[Any, Any]:
    from tfplastic.tasks import GraphTask

    if isinstance(task, GraphTask):
        return task.diagnostics_batch()
    manifest = json.loads((checkpoint.directory / "manifest.json").read_text(encoding="utf-8"))
    shared = checkpoint.run_directory / _CHECKPOINTS / "shared"
    with contextlib.closing(task):
        task.restore(checkpoint.directory, shared, manifest["shared_files"])
        return task.diagnostics_batch()


@contextlib.contextmanager
def _restoring(checkpoint: Checkpoint) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, AssertionError, OSError) as error:  # TensorFlow asserts where shapes differ
        if not checkpoint.directory.exists():
            text = "the run has removed it in the meantime; the same command takes a newer one"
        else:
            text = gin_errors.own_words(str(error))
        raise UsageError(
            f"--run_dir: checkpoint {checkpoint.step} cannot be read: {one_line(text)}"
        ) from error
