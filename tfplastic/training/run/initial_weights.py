"""The first weights of a run, taken from a checkpoint of another one, which is only read."""

import itertools
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf
from absl import logging
from tensorflow.core.protobuf import trackable_object_graph_pb2

from tfplastic import _checkpoint_files as files
from tfplastic._checkpoint_files import Checkpoint
from tfplastic.run_format import ARRAY_FILE_ERRORS, CHECKPOINTS_DIRECTORY, OPERATIVE_CONFIG_FILE
from tfplastic.training.run.checkpoints import find_unreadable_values
from tfplastic.training.run.initial_source import parse_source

_COUNTER = re.compile(r"_\d+(?=/|$)")  # of layers without names of their own
_VALUE = "VARIABLE_VALUE"


def find_source(text: str) -> Checkpoint:
    """Returns the checkpoint that `train.init_from` names: of its step, or the newest good one.

    The log names newer ones that are damaged.

    Args:
        text: `RUN_DIR` or `RUN_DIR@STEP`.

    Raises:
        ValueError: there is no such run or checkpoint, or it is damaged; lists the available steps.
    """
    directory, step = parse_source(text)
    root = directory / CHECKPOINTS_DIRECTORY
    if not directory.is_dir():
        raise ValueError(f"`init_from` must name a run directory. Received: {text!r}, which does not exist")
    if not (directory / OPERATIVE_CONFIG_FILE).is_file():
        lacking = f"which holds no run: it has no {OPERATIVE_CONFIG_FILE}"
        raise ValueError(f"`init_from` must name a run directory. Received: {text!r}, {lacking}")
    at_hand = [files.step_of(each) for each in files.complete(root)]
    if not at_hand:
        raise ValueError(f"`init_from` must name a run with a checkpoint. Received: {text!r}, which has none")
    if step is not None and step not in at_hand:
        rule = f"must name a step with a checkpoint: {', '.join(map(str, at_hand))}"
        raise ValueError(f"`init_from` {rule}. Received: {text!r}")
    if step is not None:
        checkpoint, damaged = _of_step(root / files.directory_name(step))
    else:
        checkpoint, damaged = files.newest_good(root, find_unreadable_values)
    if checkpoint is None:
        (newest, damage), *_ = damaged.items()
        others = ", ".join(str(each) for each in at_hand if each != files.step_of(newest)) or "none"
        rule = f"must name a checkpoint that can be read; others of the run: {others}"
        raise ValueError(f"`init_from` {rule}. Received: {text!r}, where {newest.name} is damaged: {damage}")
    for newer, damage in damaged.items():
        logging.warning("%s is damaged (%s); the older %s is taken.", newer, damage, checkpoint.directory)
    return checkpoint


def check_weights(checkpoint: Checkpoint, model: Any) -> None:
    """Raises `ValueError` unless a checkpoint's network has the layers and shapes of `model`.

    Args:
        checkpoint: checkpoint of a run.
        model: a Keras model, built.
    """
    try:
        there = _weights_in(checkpoint.variables)
    except (*ARRAY_FILE_ERRORS, tf.errors.OpError) as error:
        raise ValueError(f"`init_from` must name a checkpoint that can be read. Received: {error}") from error
    with tempfile.TemporaryDirectory() as folder:
        here = _weights_in(tf.train.Checkpoint(model=model).write(f"{folder}/{files.VARIABLES}"))
    for theirs, ours in itertools.zip_longest(there, here):
        if theirs is None or ours is None or not theirs.is_like(ours):
            rule = "must name a run whose network has the same layers, of the same shapes"
            received = f"{_words(theirs)} in {checkpoint.directory}, where this run has {_words(ours)}"
            raise ValueError(f"`init_from` {rule}. Received: {received}")


def load_weights(checkpoint: Checkpoint, model: Any) -> None:
    """Assigns the weights of a checkpoint's network to `model`, and nothing else of the checkpoint.

    Args:
        checkpoint: checkpoint of a run.
        model: a Keras model, built.

    Raises:
        ValueError: see `check_weights`; `model` then has its former weights.
    """
    check_weights(checkpoint, model)
    status = tf.train.Checkpoint(model=model).read(checkpoint.variables)
    status.assert_existing_objects_matched()
    status.expect_partial()


class _Weight(NamedTuple):
    name: str
    shape: tuple[int, ...]
    dtype: str

    def is_like(self, other: "_Weight") -> bool:
        return (_COUNTER.sub("", self.name), *self[1:]) == (_COUNTER.sub("", other.name), *other[1:])


def _words(weight: _Weight | None) -> str:
    return "no further weight" if weight is None else f"{weight.name!r} {list(weight.shape)} {weight.dtype}"


def _of_step(directory: Path) -> files.Newest:
    damage = files.find_damage(directory) or find_unreadable_values(files.read(directory))
    return files.Newest(None, {directory: damage}) if damage else files.Newest(files.read(directory), {})


def _weights_in(prefix: str) -> list[_Weight]:
    """Returns the variables of the network in a `tf.train.Checkpoint`, in the order of its objects."""
    reader = tf.train.load_checkpoint(prefix)
    content = reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH")
    nodes = trackable_object_graph_pb2.TrackableObjectGraph.FromString(content).nodes
    shapes: Mapping[str, Any] = reader.get_variable_to_shape_map()
    dtypes: Mapping[str, Any] = reader.get_variable_to_dtype_map()
    waiting = [child.node_id for child in nodes[0].children if child.local_name == "model"]
    seen, found = set(waiting), []
    while waiting:
        node = nodes[waiting.pop(0)]
        for value in node.attributes:
            if value.name == _VALUE:
                key = value.checkpoint_key
                name = value.full_name or key
                found.append(_Weight(name, tuple(shapes[key]), dtypes[key].name))
        new = [child.node_id for child in node.children if child.node_id not in seen]
        seen |= set(new)
        waiting += list(dict.fromkeys(new))
    return found
