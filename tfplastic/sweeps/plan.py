"""Which jobs the runs of a grid make, and the plan as text."""

import dataclasses
from collections.abc import Iterable, Sequence

from tfplastic._text.durations import rough_duration
from tfplastic.sweeps.job import Job
from tfplastic.sweeps.preflight.requests import Answer
from tfplastic.sweeps.records import Run


def grid(answers: Sequence[Answer]) -> list[Run]:
    """Returns all runs, in the order in which they are done: seed by seed, and arm by arm with each."""
    by_arm = [
        [
            Run(
                answer.arm,
                seed.seed,
                seed.directory,
                answer.total_steps,
                "finished" if seed.is_finished else "waiting",
                seed.step,
            )
            for seed in answer.seeds
        ]
        for answer in answers
    ]
    return [run for of_one_seed in zip(*by_arm, strict=True) for run in of_one_seed]


def jobs(
    runs: Iterable[Run],
    answers: Sequence[Answer],
    template: Job,
    limit: int | None,
) -> list[Job]:
    """Returns the jobs of the first `limit` unfinished runs, one for each run.

    Args:
        runs: all runs, in their order.
        answers: facts about the arms.
        template: a job with the common settings of all jobs.
        limit: None for all runs.
    """
    configs = {answer.arm: answer.config for answer in answers}
    chosen = [run for run in runs if run.state != "finished"][:limit]
    return [
        dataclasses.replace(template, arm=run.arm, seed=run.seed, config=configs[run.arm]) for run in chosen
    ]


def describe(
    answers: Sequence[Answer], runs: Sequence[Run], todo: Sequence[Job], num_slots: int | None, gpus: float
) -> str:
    """Returns the plan as text: the cost of each arm, and of all together.

    Args:
        answers: facts about the arms, with estimates.
        runs: all runs.
        todo: the jobs that are to be done.
        num_slots: number of jobs that run at a time; None if it is not known.
        gpus: GPUs per job.
    """
    rows = [("arm", "steps", "a step", "a run", "with probes", "checkpoints", "finished", "to do")]
    seconds, disk = 0.0, 0
    chosen = {(job.arm, job.seed) for job in todo}
    for answer in answers:
        left = [
            answer.total_steps - run.step
            for run in runs
            if run.arm == answer.arm and (run.arm, run.seed) in chosen
        ]
        per_step, per_run = answer.seconds_per_step or 0.0, answer.disk_bytes or 0
        probing = per_step * (answer.probe_steps or 0)
        seconds += per_step * sum(left) + probing * len(left)
        disk += per_run * len(left)
        rows.append(
            (
                answer.arm,
                f"{answer.total_steps:,}",
                f"{1_000 * per_step:.3g} ms",
                rough_duration(per_step * answer.total_steps),
                rough_duration(per_step * answer.total_steps + probing),
                size(per_run),
                f"{sum(seed.is_finished for seed in answer.seeds)}",
                f"{len(left)}",
            )
        )
    total = f"{len(chosen):,} of {len(runs):,} runs to do: {rough_duration(seconds)} one by one"
    if gpus:
        total += f", {rough_duration(gpus * seconds)} of a GPU"
    if num_slots:
        at_once = min(num_slots, max(1, len(todo)))
        total += f", about {rough_duration(seconds / at_once)} with {at_once} at once"
    timed = f"Steps were timed here, {answers[0].device}; probes are taken for as many steps as they are.\n"
    timed += "Evaluations, diagnostics and starts come on top."
    return "\n".join([*_aligned(rows), f"{total}; {size(disk)} of checkpoints.", timed])


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            f"{cell:>{width}}" if column else f"{cell:<{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def size(count: float) -> str:
    """Returns bytes as text.

    Example:
        >>> from tfplastic.sweeps import plan
        >>> [plan.size(count) for count in (0, 2_500, 3.2e6, 1.5e9, 2e12)]
        ['0 kB', '2 kB', '3 MB', '1.5 GB', '2000.0 GB']
    """
    for unit, length in (("kB", 1e3), ("MB", 1e6)):
        if count < 1_000 * length:
            return f"{count / length:.0f} {unit}"
    return f"{count / 1e9:.1f} GB"
