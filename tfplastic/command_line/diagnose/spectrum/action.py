"""The action of `bin/diagnose spectrum`. Errors come as early as they can."""

from tfplastic.command_line import messages
from tfplastic.command_line.diagnose import checkpoints, data_file, tensorflow_start
from tfplastic.command_line.diagnose.keras_files import compiled_loss, saved_model
from tfplastic.command_line.diagnose.output_paths import OutputPaths
from tfplastic.command_line.diagnose.spectrum.options import Options
from tfplastic.command_line.diagnose.spectrum.subject import Subject
from tfplastic.command_line.entry_point import print_line
from tfplastic.configuration.errors import UsageError

_COMMAND = "spectrum"


def act(given: Options) -> None:
    """Measures a spectrum, prints and writes it."""
    subject, output_paths = _model(given, given.model) if given.model else _run(given, given.run_dir or "")
    # Not before, because these import TensorFlow.
    from tfplastic.command_line.diagnose.spectrum import measurement, output

    hessian = subject.hessian
    print_line(f"{subject.name}: loss on {subject.num_examples:,} examples, {hessian.shape[0]:,} weights")
    with messages.messages_shown():
        spectrum = measurement.measure(
            hessian, given.num_eigenvalues, given.tol, given.num_steps, given.num_probes, given.seed
        )
    print_line(measurement.table(spectrum))
    for path in output.write(spectrum, subject, output_paths, given.seed):
        print_line(f"wrote {path}")


def _run(given: Options, run_directory: str) -> tuple[Subject, OutputPaths]:
    if given.checkpoint is None:
        found = checkpoints.find_checkpoints(run_directory)[::-1]
    else:
        found = [checkpoints.find_checkpoint(run_directory, given.checkpoint)]

    def output_paths(step: int) -> OutputPaths:
        return OutputPaths.of_run(run_directory, _COMMAND, str(step), given.out)

    output_paths(found[0].step).check()
    with tensorflow_start.for_run(given):
        from tfplastic.command_line.diagnose.trained_run import TrainedRun

        run = TrainedRun(found[0], given.trust_module)
        # On this snapshot `diagnostics/sharpness/all` of the run is the largest of the eigenvalues.
        checkpoint, snapshot = checkpoints.first_readable(found, run.read_snapshot)
        name = f"{run.name}, gradient step {checkpoint.step:,}"
        return Subject(snapshot.hessian, name, snapshot.num_examples, checkpoint.step), output_paths(
            checkpoint.step
        )


def _model(given: Options, path: str) -> tuple[Subject, OutputPaths]:
    saved = saved_model.read(path, given.trust)
    if given.loss is None and not compiled_loss.is_in(saved.compiled):
        raise UsageError(f"--loss must be given: {path!r} was not compiled with a loss")
    arrays = data_file.read_data(given.data or "")
    output_paths = OutputPaths.of_model(path, _COMMAND, given.out)
    output_paths.check()
    with tensorflow_start.for_model(given, saved.version):
        from tfplastic.command_line.diagnose.keras_files.keras_file import KerasFile
        from tfplastic.linalg import HessianOperator

        file = KerasFile(saved, given.trust, given.trust_module)
        if given.loss is None:
            inputs, targets = file.compiled(*arrays, given.batch_size)
            hessian = HessianOperator.from_model(file.model, inputs, targets, batch_size=given.batch_size)
            return Subject(hessian, f"{file.name}, compiled loss", len(inputs), None), output_paths
        inputs, targets, loss = file.fitted(*arrays, given.loss, given.from_logits, given.batch_size)
        hessian = HessianOperator(
            file.mean_loss(loss),
            file.model.trainable_variables,
            (inputs, targets),
            batch_size=given.batch_size,
        )
        return Subject(hessian, file.name, len(inputs), None), output_paths
