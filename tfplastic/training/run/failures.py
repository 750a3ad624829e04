"""Weights and losses that are not finite: their detection, explanation and remedy."""

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tfplastic import _checkpoint_files
from tfplastic._checkpoint_files import Checkpoint
from tfplastic._text.program_names import as_started
from tfplastic.training.after_updates import MITIGATIONS
from tfplastic.training.execution.driver import Driver
from tfplastic.training.execution.non_finite import Examination
from tfplastic.training.run.checkpoints import Checkpoints, find_unreadable_values
from tfplastic.training.step import NonFiniteLossError


class Failures:
    """Stop of a run whose weights or loss are not finite, with an explanation.

    Args:
        driver: driver of the run.
        act: function that applies the mitigations after a gradient step.
        examination: examination of the gradient step.
        checkpoints: checkpoints of the run.
        run_directory: directory of the run.
    """

    def __init__(
        self,
        driver: Driver,
        act: Callable[[int], None],
        examination: Examination,
        checkpoints: Checkpoints,
        run_directory: Path,
    ):
        self._driver = driver
        self._act = act
        self._examination = examination
        self._checkpoints = checkpoints
        self._run_directory = run_directory
        self._begin_again: Callable[[], None] | None = None

    def note_beginning(self) -> None:
        """Keeps a copy of the weights until there is a checkpoint; for tasks whose steps can be retaken."""
        if self._driver.can_repeat:
            self._begin_again = self._checkpoints.copied()

    def check_gradient(self, step: int, before: Mapping[str, float], now: Mapping[str, float]) -> None:
        """Raises if gradients since the last sums were not finite and made weights so.

        Nothing is computed where the gradients are finite, and a gradient that has changed no weight, because
        it was clipped or scaled, is ignored.

        Args:
            step: gradient steps done.
            before: sums of the steps' metrics.
            now: the same, later.

        Raises:
            NonFiniteLossError: explained.
        """
        was_finite = math.isfinite(before.get("gradient_norm", 0.0))
        if was_finite and not math.isfinite(now.get("gradient_norm", 0.0)) and self._examination.of_weights():
            raise self.explained(NonFiniteLossError(step, "gradient"))

    def check_weights(self, step: int) -> None:
        """Raises if a weight is not finite, so that checkpoints hold finite weights only.

        Args:
            step: gradient steps done.

        Raises:
            NonFiniteLossError: explained.
        """
        if self._examination.of_weights():
            raise self.explained(NonFiniteLossError(step, "weights"))

    def checkpoint_saved(self) -> None:
        """Drops the copy of the beginning, which is no longer needed."""
        self._begin_again = None

    @contextlib.contextmanager
    def explaining(self) -> Iterator[None]:
        """A context whose `NonFiniteLossError`s leave it explained."""
        try:
            yield
        except NonFiniteLossError as error:
            raise self.explained(error) from None

    def explained(self, error: NonFiniteLossError) -> NonFiniteLossError:
        """Returns the error with the quantity and layer that first was not finite, and the next action."""
        checkpoint = self._last_checkpoint()
        try:
            found = self._find(error, checkpoint)
            first = f"the first was {found}" if found else "it does not show when the step is repeated"
        except TimeoutError:
            first = "where it began is not known, as repeating the steps takes too long"
        except Exception as other:  # The failure itself is to be reported, whatever this is.
            first = f"where it began cannot be found ({' '.join(str(other).split())})"
        details = f"; {first}. {self._next_action(checkpoint)}"
        return NonFiniteLossError(error.step, error.quantity, details)

    def _find(self, error: NonFiniteLossError, checkpoint: Checkpoint | None) -> str:
        restore = functools.partial(self._restore, checkpoint)
        return self._driver.find_non_finite(error, self._examination, restore)

    def _restore(self, checkpoint: Checkpoint | None) -> int:
        """Goes back to the checkpoint or, without one, the beginning; returns its gradient step."""
        if checkpoint is None:
            if self._begin_again is None:
                raise ValueError("no checkpoint can be read; train again in another run directory")
            self._begin_again()
            self._driver.start()
            return 0
        self._checkpoints.restore(checkpoint)
        self._driver.restore(checkpoint.directory, checkpoint.shared, checkpoint.shared_files)
        if MITIGATIONS in checkpoint.state["pending"]:
            self._act(checkpoint.step)
        return checkpoint.step

    def _last_checkpoint(self) -> Checkpoint | None:
        return _checkpoint_files.newest_good(self._checkpoints.root, find_unreadable_values).checkpoint

    def _next_action(self, checkpoint: Checkpoint | None) -> str:
        if checkpoint is None:
            return "Lower the learning rate, and start again in another run directory"
        source = f"--init_from={self._run_directory}@{checkpoint.step}"
        action = "Continue from its last checkpoint with a lower learning rate"
        return f"{action}: {as_started('bin/train')} ... {source} --run_dir=NEW"
