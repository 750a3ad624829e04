"""`bin/diagnose`: flags, what to measure, device, measurement, outputs. Errors come as early as they can."""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence

from tfplastic.command_line import device, messages, programs, quiet
from tfplastic.command_line.diagnose import keras_file, model_files, options, run_checkpoint
from tfplastic.command_line.diagnose.places import Places
from tfplastic.command_line.diagnose.subject import Subject


def main(arguments: Sequence[str]) -> int:
    """Runs `bin/diagnose`.

    Args:
        arguments: the command line without the program's name.

    Returns:
        The exit code: 0 if what was asked for is written, 2 if it cannot be done, 1 if it failed, 130 if
        Ctrl-C stopped it. Where it is not 0, no output is new.
    """
    if not arguments:
        sys.stderr.write(f"{options.USAGE}bin/diagnose --help explains the flags.\n")
        return 2
    return programs.run("bin/diagnose", lambda: options.parse(arguments), _act)


def _act(given: options.Options) -> int:
    if given.help:
        sys.stdout.write(options.help_text())
    else:
        _spectrum(given)
    return 0


def _spectrum(given: options.Options) -> None:
    subject, places = _run(given) if given.run_directory is not None else _model(given)
    # Not before, because these import TensorFlow.
    from tfplastic.command_line.diagnose import measurement, output

    hessian = subject.hessian
    programs.say(f"{subject.name}: loss on {subject.num_examples:,} examples, {hessian.shape[0]:,} weights")
    with messages.messages_shown():
        spectrum = measurement.measure(
            hessian, given.num_eigenvalues, given.tol, given.num_steps, given.num_probes, given.seed
        )
    programs.say(measurement.table(spectrum))
    for path in output.write(spectrum, subject, places, given.seed):
        programs.say(f"wrote {path}")


def _run(given: options.Options) -> tuple[Subject, Places]:
    run_directory = str(given.run_directory)
    checkpoint = run_checkpoint.find_checkpoint(run_directory, given.checkpoint)
    places = Places.of_run(run_directory, checkpoint.step, given.out)
    places.check()
    with _tensorflow(given, legacy=True, because="TF-Agents needs Keras 2"):
        return run_checkpoint.load(checkpoint), places


def _model(given: options.Options) -> tuple[Subject, Places]:
    path, data, loss = str(given.model), str(given.data), str(given.loss)
    version, arrays = model_files.keras_version(path), model_files.read_data(data)
    places = Places.of_model(path, given.out)
    places.check()
    legacy = version.startswith("2.")
    with _tensorflow(given, legacy, because=f"{path} was saved by Keras {version}"):
        model = keras_file.load(path, legacy, arrays, loss, given.from_logits, given.batch_size)
        return model, places


@contextlib.contextmanager
def _tensorflow(given: options.Options, legacy: bool, because: str) -> Iterator[None]:
    """Imports TensorFlow with Keras 2 (`legacy`) or 3 and selects the device; chatter is held back inside."""
    wanted = "1" if legacy else "0"
    found = os.environ.get("TF_USE_LEGACY_KERAS")
    if found is not None and (found.lower() in ("1", "true")) != legacy:
        programs.say(f"TF_USE_LEGACY_KERAS is set to {wanted} for this command, because {because}.")
    os.environ["TF_USE_LEGACY_KERAS"] = wanted
    os.environ["KERAS_BACKEND"] = "tensorflow"
    with contextlib.nullcontext() if given.debug else quiet.imports_quiet():
        programs.say(f"Device: {device.select(given.device)}")
        yield
