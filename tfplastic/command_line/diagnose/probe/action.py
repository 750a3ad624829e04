"""The action of `bin/diagnose probe`. Errors come as early as they can."""

from typing import TYPE_CHECKING, Any

from tfplastic._text.lines import one_line
from tfplastic.command_line import messages
from tfplastic.command_line.diagnose import checkpoints, data_file, tensorflow_start
from tfplastic.command_line.diagnose.keras_files import saved_model
from tfplastic.command_line.diagnose.output_paths import OutputPaths
from tfplastic.command_line.diagnose.probe.options import Options
from tfplastic.command_line.entry_point import print_line
from tfplastic.configuration.errors import UsageError

if TYPE_CHECKING:  # It imports TensorFlow.
    from tfplastic.command_line.diagnose.probe.course import Course

_COMMAND = "probe"


def act(given: Options) -> None:
    """Probes a run or a model, prints and writes the results."""
    course, output_paths = _model(given, given.model) if given.model else _run(given, given.run_dir or "")
    from tfplastic.command_line.diagnose.probe import output

    print_line(course.results[-1].summary())
    for path in output.write(course, output_paths):
        print_line(f"wrote {path}")


def _run(given: Options, run_directory: str) -> tuple["Course", OutputPaths]:
    if given.checkpoint is None:
        found, name = checkpoints.find_checkpoints(run_directory), "checkpoints"
    else:
        found = [checkpoints.find_checkpoint(run_directory, given.checkpoint)]
        name = str(given.checkpoint)
    output_paths = OutputPaths.of_run(run_directory, _COMMAND, name, given.out)
    output_paths.check()
    with tensorflow_start.for_run(given):
        from tfplastic.command_line.diagnose.probe import protocol, run_inputs
        from tfplastic.command_line.diagnose.probe.course import Course
        from tfplastic.command_line.diagnose.trained_run import TrainedRun
        from tfplastic.training.events.measurements.probe_plan import with_seed_of_run

        run = TrainedRun(found[0], given.trust_module)
        own = with_seed_of_run(run.config.probe, run.config.seed)
        inputs, whence = run_inputs.of_run(run, found, protocol.num_inputs(given, own))
        probe = protocol.make_probe(given, own, run.model, inputs)
    course = Course(run.name, [], [], probe, probe.num_inputs or 0)
    print_line(f"{run.name}: {_plan(course)}; inputs {whence}")
    for checkpoint in run.read_each(found):
        result = _measured(probe, run.model, inputs, run.config.optimizer)
        course.steps.append(checkpoint.step)
        course.results.append(result)
        loss = f"final loss {result.final_loss:.4g}, loss of plasticity {result.loss_of_plasticity:+.4g}"
        print_line(f"gradient step {checkpoint.step:,}: {loss}, {result.verdict}")
    return course, output_paths


def _model(given: Options, path: str) -> tuple["Course", OutputPaths]:
    saved, inputs = saved_model.read(path, given.trust), data_file.read_inputs(given.data or "")
    if given.optimizer is None and saved.optimizer is None:
        raise UsageError(f"--optimizer must be given: {path!r} was saved without one")
    if given.num_inputs is not None and given.num_inputs > len(inputs):
        rule = f"must be at most {len(inputs)}, all of --data"
        raise UsageError(f"--num_inputs {rule}. Received: {given.num_inputs}")
    output_paths = OutputPaths.of_model(path, _COMMAND, given.out)
    output_paths.check()
    with tensorflow_start.for_model(given, saved.version):
        from tfplastic.command_line.diagnose.keras_files.keras_file import KerasFile
        from tfplastic.command_line.diagnose.probe import protocol
        from tfplastic.command_line.diagnose.probe.course import Course

        file = KerasFile(saved, given.trust, given.trust_module)
        optimizer = file.optimizer(given.optimizer, saved.optimizer, given.learning_rate)
        inputs, _ = file.checked_inputs(inputs, 1)
        probe = protocol.make_probe(given, None, file.model, inputs)
    course = Course(file.name, [None], [], probe, probe.num_inputs or 0)
    print_line(f"{file.name}: {_plan(course)}; {type(optimizer).__name__}")
    course.results.append(_measured(probe, file.model, inputs, optimizer))
    return course, output_paths


def _measured(probe: Any, model: Any, inputs: Any, optimizer: Any) -> Any:
    try:
        with messages.messages_shown():
            return probe.measure(model, inputs, optimizer)
    except ValueError as error:  # of a network or targets that cannot be probed, or not in this way
        raise UsageError(f"this cannot be probed: {one_line(error)}") from error


def _plan(course: "Course") -> str:
    probe = course.probe
    return (
        f"{probe.num_targets} targets on {course.num_inputs:,} inputs, {probe.num_steps:,} steps of"
        f" {probe.batch_size}, with {probe.baselines} fresh networks"
    )
