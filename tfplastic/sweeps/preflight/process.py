"""The process that builds every arm of an experiment before anything is trained, so that errors come first.

TensorFlow is here and not in the sweep's own process, which stays small and leaves memory and GPU to the
runs. It reads a `Request` as JSON from standard input and writes an `Answer` or an error for each arm, a
line of JSON each.
"""

import contextlib
import gc
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from tfplastic import run_format
from tfplastic._text.lines import one_line
from tfplastic.configuration import device, gin_config, gin_errors, gin_files, quiet, unused
from tfplastic.configuration.build import build_loop
from tfplastic.configuration.errors import UsageError
from tfplastic.configuration.gin_trust import GinTrust
from tfplastic.sweeps.job import run_name
from tfplastic.sweeps.preflight.requests import Answer, Request, SeedState
from tfplastic.sweeps.run_root import RunRoot


def main() -> int:
    """Answers one request; the exit code."""
    request = Request.from_json(json.load(sys.stdin))
    gc.set_threshold(20_000, 20, 20)  # as programs do: imports leave hardly any garbage
    # What libraries print while they are imported must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        for answer in Checks(request).answers():
            answers.write(f"{json.dumps(answer._asdict())}\n")
            answers.flush()
    except (UsageError, ValueError) as error:
        answers.write(f"{json.dumps({'error': one_line(error)})}\n")
        return 2
    finally:
        answers.close()
    return 0


class Checks:
    """Builder of arms, one after another. Gin and TensorFlow are this object's from its construction on.

    Args:
        request: the request.
    """

    def __init__(self, request: Request):
        self._request = request
        self._roots = [RunRoot(root) for root in request.roots]
        self._timed: dict[Any, float] = {}
        os.environ["TF_USE_LEGACY_KERAS"] = "1"
        with contextlib.nullcontext() if request.debug else quiet.imports_quiet():
            self._device = device.select(request.device)
            gin_config.parse([], [])  # imports what gin files may name

    def answers(self) -> Iterator[Answer]:
        """Yields an answer for each arm, as soon as it has been built.

        Raises:
            UsageError: an arm cannot be built, or a run directory holds another run; says which and why.
        """
        for name, files, bindings in self._request.arms:
            try:
                yield self._answer(name, files, bindings)
            except UsageError as error:
                raise UsageError(f"arm {name!r}: {error}") from error

    def _answer(self, name: str, files: list[str], bindings: list[str]) -> Answer:
        from tfplastic.sweeps.preflight import estimates
        from tfplastic.training.run.initial_weights import check_weights, find_source

        first = self._request.seeds[0]
        trust = GinTrust.of_user(self._request.allow_imports)
        sources = gin_config.parse(files, [*bindings, f"train.seed = {first}"], trust=trust)
        loop = build_loop(sources)
        unused.check_all_bindings_used(sources)
        config, operative = gin_config.config_text(), gin_config.operative_text()
        notes = gin_files.rename_notes(sources)
        seeds = [
            self._seed_state(name, seed, operative, loop.config.total_steps, notes)
            for seed in self._request.seeds
        ]
        if loop.config.init_from is not None and any(not each.step for each in seeds):
            with gin_errors.constructing(sources):
                check_weights(find_source(loop.config.init_from), loop.task.model)
        seconds = None
        if self._request.is_timed:
            key = estimates.speed_key(loop, operative)
            seconds = self._timed[key] = self._timed.get(key) or estimates.seconds_per_step(loop)
        return Answer(
            arm=name,
            config=config,
            total_steps=loop.config.total_steps,
            device=self._device,
            probe_steps=estimates.probe_steps(loop) if self._request.is_timed else None,
            seconds_per_step=seconds,
            disk_bytes=estimates.disk_bytes(loop) if self._request.is_timed else None,
            seeds=seeds,
            notes=notes,
        )

    def _seed_state(
        self, arm: str, seed: int, operative: str, total_steps: int, notes: list[str]
    ) -> SeedState:
        """Returns where the run is, in the run root or finished in another one, and how far."""
        name, own = run_name(arm, seed), self._roots[0]
        state = SeedState(seed, own.of(name), False, 0)
        for root in self._roots:
            found = root.read(f"{name}/{run_format.OPERATIVE_CONFIG_FILE}")
            if found is None:
                continue
            different = _difference(found, operative, seed)
            if different and root is own:
                where = f"{root.of(name)} holds another run: {different}"
                raise UsageError(f"{where}. Choose another --run_root, or the old value")
            if different:
                notes.append(f"--reuse: {root.of(name)} is skipped, its configuration differs: {different}.")
                continue
            status = run_format.known_status(root.read(f"{name}/{run_format.STATUS_FILE}"))
            step = status.get("step", 0)
            if status.get("state") == "finished" and step >= total_steps:
                if step > total_steps:
                    longer = f"{root.of(name)} has {step:,} steps, more than {total_steps:,}"
                    notes.append(f"{longer}; it counts as finished.")
                return SeedState(seed, root.of(name), True, step)
            if root is own:
                state = state._replace(step=step)
        return state


def _difference(old: str, new: str, seed: int) -> str:
    """Describes why two operative configs are two runs, the second with this seed; '' for one run."""
    from tfplastic.training.run import bindings as run_bindings
    from tfplastic.training.run.config_differences import differences

    bindings = run_bindings.parse_bindings(new) | {"train.seed": repr(seed)}
    try:
        there = run_bindings.parse_bindings(old)
    except ValueError as error:
        return one_line(error)
    for name, before, now in differences(there, bindings):
        if name not in run_bindings.CHANGEABLE:
            return f"`{name}` is {before} there and {now} here"
    return ""


if __name__ == "__main__":
    sys.exit(main())
