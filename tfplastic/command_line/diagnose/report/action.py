"""The action of `bin/diagnose report`. Errors come as early as they can."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfplastic._text.lines import one_line
from tfplastic.command_line import messages
from tfplastic.command_line.diagnose import checkpoints, data_file, tensorflow_start
from tfplastic.command_line.diagnose.keras_files import compiled_loss, saved_model
from tfplastic.command_line.diagnose.output_paths import OutputPaths
from tfplastic.command_line.diagnose.report.options import Options
from tfplastic.command_line.entry_point import print_line
from tfplastic.configuration.errors import UsageError

if TYPE_CHECKING:  # It imports TensorFlow.
    from tfplastic.command_line.diagnose.report.findings import Findings

_COMMAND = "report"


def act(given: Options) -> None:
    """Diagnoses a run or a model, prints and writes the results."""
    (_model if given.model else _run)(given)


def _run(given: Options) -> None:
    run_directory = given.run_dir or ""
    if given.all_checkpoints:
        found = checkpoints.find_checkpoints(run_directory)
    elif given.checkpoint is None:
        found = checkpoints.find_checkpoints(run_directory)[::-1]
    else:
        found = [checkpoints.find_checkpoint(run_directory, given.checkpoint)]

    def output_paths(name: str) -> OutputPaths:
        return OutputPaths.of_run(run_directory, _COMMAND, name, given.out)

    output_paths("checkpoints").check()
    with tensorflow_start.for_run(given):
        from tfplastic.command_line.diagnose.report import output, run_reference
        from tfplastic.command_line.diagnose.report.findings import Findings
        from tfplastic.command_line.diagnose.trained_run import TrainedRun

        run = TrainedRun(found[0], given.trust_module)
        first, snapshot = checkpoints.first_readable(found, run.read_snapshot)
        snapshot.reference = run_reference.of_run(run_directory)
    all_found: list[Findings] = []
    for checkpoint in run.read_each(found if given.all_checkpoints else [first]):
        snapshot.refresh()
        name = f"{run.name}, gradient step {checkpoint.step:,}"
        print_line(f"{name}: {given.budget} budget on {snapshot.num_examples:,} examples")
        all_found.append(Findings(name, checkpoint.step, _diagnosed(snapshot, given), given.budget))
    _show(all_found[-1])
    if snapshot.reference is None:
        print_line("No quantities of change: the run has kept no network of gradient step 0.")
    for findings in all_found:
        _say_written(output.write, findings, output_paths(str(findings.step)))
    if given.all_checkpoints:
        _say_written(output.write_course, all_found, output_paths("checkpoints"))


def _model(given: Options) -> None:
    path, data, loss = str(given.model), given.data or "", given.loss
    saved = saved_model.read(path, given.trust)
    is_own = loss is None and compiled_loss.is_in(saved.compiled) and data_file.has_targets(data)
    has_loss = is_own or loss is not None
    inputs, targets = data_file.read_data(data) if has_loss else (data_file.read_inputs(data), None)
    inputs = inputs[: given.num_examples]
    output_paths = OutputPaths.of_model(path, _COMMAND, given.out)
    output_paths.check()
    with tensorflow_start.for_model(given, saved.version):
        from tfplastic.command_line.diagnose.keras_files.keras_file import KerasFile
        from tfplastic.command_line.diagnose.report import output
        from tfplastic.command_line.diagnose.report.findings import Findings
        from tfplastic.diagnostics import Snapshot

        file = KerasFile(saved, given.trust, given.trust_module)
        function = None
        targets = None if targets is None else targets[: given.num_examples]
        if targets is None:
            inputs, _ = file.checked_inputs(inputs, 1)
        elif loss is None:
            inputs, targets = file.compiled(inputs, targets, len(inputs))
        else:
            inputs, targets, function = file.fitted(inputs, targets, loss, given.from_logits, len(inputs))
        snapshot = Snapshot(file.model, inputs, targets, function)
    of_loss = ", the loss is the compiled one" if is_own else ""
    print_line(f"{file.name}: {given.budget} budget on {snapshot.num_examples:,} examples{of_loss}")
    findings = Findings(file.name, None, _diagnosed(snapshot, given), given.budget)
    _show(findings)
    _say_written(output.write, findings, output_paths)


def _diagnosed(snapshot: Any, given: Options) -> Any:
    from tfplastic.diagnostics.diagnose import diagnose_snapshot

    try:
        with messages.messages_shown():
            return diagnose_snapshot(snapshot, given.budget)
    except ValueError as error:  # of a model of which nothing can be measured
        raise UsageError(f"this cannot be diagnosed: {one_line(error)}") from error


def _show(findings: "Findings") -> None:
    print_line(f"\n{findings.report.summary()}\n\n{findings.report.to_text()}\n")


def _say_written(write: Callable[[Any, OutputPaths], Sequence[Path]], found: Any, files: OutputPaths) -> None:
    """Writes the results and prints their files: data by name, the many figures by their number."""
    paths = write(found, files)
    figures = [path for path in paths if path.suffix in (".png", ".svg")]
    for path in paths:
        if path not in figures:
            print_line(f"wrote {path}")
    if figures:
        print_line(f"wrote {len(figures)} figures, {files.figures / files.name}_*.png and .svg")
