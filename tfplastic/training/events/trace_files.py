"""Trace files of TensorFlow's profiler, mended such that XProf shows gradient steps and their parts."""

import importlib
import re
from pathlib import Path
from typing import Any

STEP = "train_step"

# Name scopes of `GraphSteps` and of in-memory tasks, of which a part of the step is made. As part of an
# operation's name, because a span of that very name (on the host) is shown as it is.
_PART = re.compile(r"(?:^|/)(acting|environment|replay_add|replay_sample|gradient_step)(?=[/:])")


def find(log_dir: Path) -> set[Path]:
    """Returns the trace files of all profiling sessions below TensorBoard's log directory."""
    return set((log_dir / "plugins" / "profile").glob("*/*.xplane.pb"))


def mend(path: Path) -> None:
    """Replaces a trace file by one in which XProf finds the steps, their operations and their parts.

    Args:
        path: path of a file `*.xplane.pb`.
    """
    space = _module("tsl.profiler.protobuf.xplane_pb2").XSpace.FromString(path.read_bytes())
    scopes = _scopes_of_compiled_operations(space)
    for plane in space.planes:
        _rename_loop_iterations(plane)
        _rename_compiled_operations(plane, scopes)
        _add_parts(plane)
    written = path.with_suffix(".part")
    written.write_bytes(space.SerializeToString())
    written.replace(path)


def _rename_loop_iterations(plane: Any) -> None:
    """Calls the numbers of loop iterations `loop_iteration` instead of `iter_num`.

    XProf takes every iteration of every `tf.while_loop` that reports an `iter_num` for a step of its own and
    then ignores the steps that the program has marked ("No step marker observed"). One loop anywhere in
    a gradient step is enough: TF-Agents computes the returns of its losses with `tf.foldr`, and the gradient
    steps of a `GraphTask` are a loop. Under another name the numbers can still be read in the trace viewer.
    """
    for entry in plane.stat_metadata.values():
        if entry.name == "iter_num":
            entry.name = "loop_iteration"


def _scopes_of_compiled_operations(space: Any) -> dict[str, str]:
    """Returns `scope/name:Type` of the TensorFlow operation behind each XLA instruction, by its name."""
    hlo_pb2 = _module("compiler.xla.service.hlo_pb2")
    scopes = {}
    for plane in space.planes:
        names = {key: entry.name for key, entry in plane.stat_metadata.items()}
        for entry in plane.event_metadata.values():
            for stat in entry.stats:
                if names.get(stat.metadata_id, "").lower().replace(" ", "_") != "hlo_proto":
                    continue
                module = hlo_pb2.HloProto.FromString(stat.bytes_value).hlo_module
                for computation in module.computations:
                    for instruction in computation.instructions:
                        source = instruction.metadata
                        if source.op_name and source.op_type:
                            scopes[instruction.name] = f"{source.op_name}:{source.op_type}"
    return scopes


def _rename_compiled_operations(plane: Any, scopes: dict[str, str]) -> None:
    """Calls XLA's instructions as the graph calls its operations, so that tables of both read alike."""
    for entry in plane.event_metadata.values():
        entry.name = scopes.get(entry.name, entry.name)


def _add_parts(plane: Any) -> None:
    """Adds a line of the trace viewer with a span for each part of each step that is one compiled program."""
    parts = {}  # by the metadata of an operation
    for key, entry in plane.event_metadata.items():
        if found := _PART.search(entry.name):
            parts[key] = found[1]
    spans = _spans(plane, parts)
    if not spans:
        return
    first_id = max(plane.event_metadata) + 1
    ids = {name: first_id + number for number, name in enumerate(sorted({name for name, *_ in spans}))}
    for name, number in ids.items():
        plane.event_metadata[number].id = number
        plane.event_metadata[number].name = name
    origin_ns = min(begin for _, begin, _ in spans) // 1_000
    line = plane.lines.add(id=max(line.id for line in plane.lines) // 2 + 1, name=f"parts of {STEP}")
    line.timestamp_ns = origin_ns
    for name, begin, end in spans:
        line.events.add(metadata_id=ids[name], offset_ps=begin - 1_000 * origin_ns, duration_ps=end - begin)


def _spans(plane: Any, parts: dict[int, str]) -> list[tuple[str, int, int]]:
    """Returns (part, begin, end) in ps, from the first to the last operation of the part in a step."""
    operations, steps = [], []
    for line in plane.lines:
        for event in line.events:
            begin = 1_000 * line.timestamp_ns + event.offset_ps
            if event.metadata_id in parts:
                operations.append((begin, begin + event.duration_ps, parts[event.metadata_id]))
            elif plane.event_metadata[event.metadata_id].name == STEP:
                steps.append((begin, begin + event.duration_ps))
    steps.sort()
    extents: dict[tuple[int, str], tuple[int, int]] = {}
    number = 0
    for begin, end, part in sorted(operations):
        while number < len(steps) and steps[number][1] < begin:
            number += 1
        if number < len(steps) and steps[number][0] <= begin:
            before = extents.get((number, part), (begin, end))
            extents[number, part] = before[0], max(before[1], end)
    return sorted((part, begin, end) for (_, part), (begin, end) in extents.items())


def _module(name: str) -> Any:
    """Returns a module of protocol buffers in TensorFlow's wheel, which has no types."""
    return importlib.import_module(f"tensorflow.{name}")
