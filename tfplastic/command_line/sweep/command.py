"""`bin/sweep`: flags, experiment, checks of every arm, jobs on Ray. Errors of use come before any work."""

import importlib.util
import os
import pathlib
import signal
import sys
from collections.abc import Sequence

from rich.console import Console

from tfplastic._text.lines import one_line
from tfplastic.command_line import entry_point
from tfplastic.command_line.entry_point import print_line, refuse
from tfplastic.command_line.sweep import options
from tfplastic.command_line.sweep.display import Display
from tfplastic.configuration import gin_files
from tfplastic.configuration.errors import UsageError
from tfplastic.configuration.gin_trust import GinTrust
from tfplastic.run_format import SWEEP_FILE
from tfplastic.sweeps import experiment_file, plan
from tfplastic.sweeps.engine import Engine
from tfplastic.sweeps.experiment import Experiment
from tfplastic.sweeps.job import LOGS, Job
from tfplastic.sweeps.preflight.requests import Answer, Request, check
from tfplastic.sweeps.ray_pool import LOCAL, RayPool
from tfplastic.sweeps.records import Records
from tfplastic.sweeps.run_root import RunRoot
from tfplastic.sweeps.stop import Stop

_DATA = "TFPLASTIC_DATA_DIR"


def main(arguments: Sequence[str]) -> int:
    """Runs `bin/sweep`.

    Args:
        arguments: the command line without the program's name.

    Returns:
        The exit code: 0 if all runs finished or Ctrl-C stopped them, 143 if SIGTERM did, 2 if the request
        cannot be carried out, 1 if a run was given up or the sweep failed, 130 if Ctrl-C came before the
        runs.
    """
    return entry_point.run("bin/sweep", lambda: options.parse(arguments), _act)


def _act(given: options.Options) -> int:
    if given.help:
        sys.stdout.write(options.help_text())
        return 0
    if given.experiment is None:
        return refuse(options.USAGE, "Name an experiment. bin/sweep --help explains the flags.")
    experiment = experiment_file.read(given.experiment)
    for path in given.reuse:
        if "://" not in path and not os.path.isdir(path):
            raise UsageError(f"--reuse must be a directory that holds runs, or a URL. Received: {path!r}")
    roots = [_root("--run_root", given.run_root), *(_root("--reuse", path) for path in given.reuse)]
    for arm in experiment.arms:  # A missing file is found before TensorFlow's import, at once.
        try:
            gin_files.scan(
                arm.files, [*arm.bindings, *given.gin_bindings], GinTrust.of_user(given.allow_imports)
            )
        except UsageError as error:
            raise UsageError(f"arm {arm.name!r}: {error}") from error
    _check_cores(given)
    if not given.dry_run:
        _require("ray")
    answers = _check(given, experiment, roots)
    for note in dict.fromkeys(note for answer in answers for note in answer.notes):
        print_line(note)
    runs = plan.grid(answers)
    todo = plan.jobs(runs, answers, _template(given, roots[0]), given.limit)
    if given.dry_run:
        print_line(f"{given.experiment} in {roots[0].location}")
        print_line(plan.describe(answers, runs, todo, _num_slots(given), given.gpus_per_run))
        return 0
    records = Records(roots[0], given.experiment, experiment.arms, experiment.seeds, given.gin_bindings, runs)
    return _sweep(given, records, todo)


def _root(flag: str, path: str) -> RunRoot:
    if "://" in path:
        _require("fsspec")
    try:
        return RunRoot(path)
    except ValueError as error:
        raise UsageError(str(error).replace("`run_root`", flag)) from error


def _require(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise UsageError(f"this needs {package}: pip install 'tfplastic[sweeps]'")


def _check(given: options.Options, experiment: Experiment, roots: Sequence[RunRoot]) -> list[Answer]:
    request = Request(
        arms=[(arm.name, list(arm.files), [*arm.bindings, *given.gin_bindings]) for arm in experiment.arms],
        seeds=list(experiment.seeds),
        roots=[root.location for root in roots],
        device="auto" if given.gpus_per_run else "cpu",
        is_timed=given.dry_run,
        debug=given.debug,
        allow_imports=given.allow_imports,
    )
    console = Console(stderr=True)
    count = len(experiment.arms)
    with console.status(f"Building {count} arms") as status:

        def show(done: int) -> None:
            status.update(f"Built {done} of {count} arms")

        return check(request, _threads(given), show)


def _threads(given: options.Options) -> int:
    return max(1, round(given.cpus_per_run))


def _check_cores(given: options.Options) -> None:
    cores = _cores()
    if given.address == LOCAL and given.cpus_per_run > cores:
        rule = f"--cpus_per_run must be at most the number of this machine, {cores}"
        raise UsageError(f"{rule}. Received: {given.cpus_per_run:g}")


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _template(given: options.Options, root: RunRoot) -> Job:
    data = os.environ.get(_DATA)
    return Job(
        arm="",
        seed=0,
        config="",
        root=root.location,
        device=given.device,
        threads=_threads(given),
        sync_period_s=given.sync_period,
        allow_imports=given.allow_imports,
        environment={_DATA: str(pathlib.Path(data).absolute())} if data else {},
    )


def _num_slots(given: options.Options) -> int | None:
    """Returns the number of jobs that run at a time; None if only a cluster knows."""
    if given.address != LOCAL or given.gpus_per_run:
        return None
    return max(1, int(_cores() / given.cpus_per_run))


def _sweep(given: options.Options, records: Records, todo: Sequence[Job]) -> int:
    if not todo:
        print_line(f"Nothing to do: {records.count('finished')} of {len(records.runs)} runs are finished.")
        records.write()
        return 0
    try:
        pool = RayPool(given.address, given.cpus_per_run, given.gpus_per_run)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UsageError(f"--address={given.address}: {one_line(error)}") from error
    with pool, Stop() as stop:
        _check_gpus(given, pool)
        with Display(records) as display:
            Engine(records, pool, display, given.retries).run(todo, stop)
    counts = [(state, records.count(state)) for state in ("finished", "failed", "stopped", "waiting")]
    said = ", ".join(f"{count} {state}" for state, count in counts if count)
    print_line(f"{len(records.runs)} runs: {said}. {records.root.of(SWEEP_FILE)}")
    for run in records.runs:
        if run.state == "failed":
            print_line(f"  {run.name}: {run.error} ({records.root.of(LOGS)}/{run.name}.log)")
    if stop.requested:
        print_line("Run the same command again to resume.")
    if stop.signal is not None and stop.signal != signal.SIGINT:
        return 128 + stop.signal
    return 1 if records.count("failed") else 0


def _check_gpus(given: options.Options, pool: RayPool) -> None:
    gpus = pool.capacity("GPU")
    if given.gpus_per_run > gpus and given.address == LOCAL:  # A cluster may grow.
        rule = f"--gpus_per_run must be at most the number of this machine, {gpus:g}"
        raise UsageError(f"{rule}. Received: {given.gpus_per_run:g}")
    if gpus and not given.gpus_per_run:
        print_line("Training on the CPU; --gpus_per_run=0.25 would put four runs at a time on a GPU.")
