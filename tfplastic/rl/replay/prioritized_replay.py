"""Replay memory whose transitions are drawn in proportion to their priorities."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tf_agents.trajectories import trajectory

from tfplastic import seeds
from tfplastic._checks import check_instance, check_positive_integer
from tfplastic.rl.replay.frame_replay import FrameReplay
from tfplastic.rl.replay.prioritization import Prioritization
from tfplastic.rl.replay.sum_tree import SumTree

_FILE = "priorities.npz"


class PrioritizedSample(NamedTuple):
    """A sample by priority.

    Attributes:
        batch: the rows from each start, as of `FrameReplay.sample`.
        weights: `[batch] float32`, importance weights in (0, 1].
        places: `[batch] int64`, for `set_priorities`.
    """

    batch: trajectory.Trajectory
    weights: np.ndarray
    places: np.ndarray


class PrioritizedReplay(FrameReplay):
    """A `FrameReplay` that also draws by priority; `sample` and `batches` stay uniform.

    Every start has a weight in a `SumTree`, every other row the weight 0. A start's priority is the largest
    one so far, 1 at the beginning, until `set_priorities` gives it another.

    Args:
        capacity: stored steps over all environments, see `FrameReplay`.
        num_envs: environments that are stored side by side.
        frame_shape: `(height, width)` of a frame, or `(height, width, channels)`.
        stack_size: frames per observation.
        n_step: steps of an n-step return.
        prioritization: settings of the priorities.

    Raises:
        ValueError: if an argument is out of range, see `FrameReplay`.

    Example:
        >>> import numpy as np
        >>> from tf_agents.trajectories.trajectory import Trajectory
        >>> from tfplastic import seeds
        >>> from tfplastic.rl.replay import PrioritizedReplay
        >>> replay = PrioritizedReplay(capacity=10, frame_shape=(2, 2), stack_size=1)
        >>> for t in range(4):
        ...     replay.add_batch(Trajectory(
        ...         step_type=np.int32([min(t, 1)]), observation=np.full([1, 2, 2, 1], t, np.uint8),
        ...         action=np.int32([0]), policy_info=(), next_step_type=np.int32([1]),
        ...         reward=np.float32([t]), discount=np.float32([1])))
        >>> sample = replay.sample_by_priority(6, seeds.derive(0, 'sample', 0), importance=1.0)
        >>> sample.batch.reward[:, 0].tolist(), sample.weights.tolist()  # equal priorities, by strata
        ([0.0, 0.0, 1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
        >>> replay.set_priorities(sample.places, np.array([5.0, 5.0, 0.0, 0.0, 0.0, 0.0]))
        >>> set(replay.sample_by_priority(6, seeds.derive(0, 'sample', 1), 1.0).batch.reward[:, 0].tolist())
        {0.0}
    """

    def __init__(
        self,
        capacity: int,
        num_envs: int = 1,
        frame_shape: Sequence[int] = (84, 84),
        stack_size: int = 4,
        n_step: int = 1,
        prioritization: Prioritization = Prioritization(),  # noqa: B008 (frozen)
    ):
        check_instance("prioritization", prioritization, Prioritization, "@Prioritization()")
        super().__init__(capacity, num_envs, frame_shape, stack_size, n_step)
        self.prioritization = prioritization
        self._tree = SumTree(
            capacity
        )  # a row's place is its index in the ring times `num_envs` + environment
        self._largest = 1.0

    def sample_by_priority(self, batch_size: int, key: np.ndarray, importance: float) -> PrioritizedSample:
        """Draws starts in proportion to their weights, one from each of `batch_size` equal parts of the sum.

        A pure function of the buffer's contents, its priorities and `key`.

        Args:
            batch_size: number of starts.
            key: `[2] int32` from `seeds.derive`.
            importance: beta of the importance weights, in [0, 1].

        Raises:
            ValueError: if no row is a start.
        """
        batch_size = check_positive_integer("batch_size", batch_size)
        total = self._tree.total
        if not total > 0:
            rule = "`sample_by_priority` needs a transition with a priority above 0"
            action = "Add more steps first, or give an `offset` above 0 where every loss is 0"
            raise ValueError(f"{rule}. Received: none in {self._num_frames()} frames. {action}")
        draws = seeds.generator(key).random(batch_size)
        places = self._tree.find((np.arange(batch_size) + draws) * (total / batch_size))
        weights = self._tree.weights[places]
        # (N P)^-beta over its largest value: the number of transitions and the sum cancel.
        relative = (weights / weights.min()) ** -importance
        return PrioritizedSample(self._read(self._starts_at(places)), relative.astype(np.float32), places)

    def set_priorities(self, places: np.ndarray, priorities: np.ndarray) -> None:
        """Sets the priorities of the starts of a sample, before anything is added.

        Args:
            places: places of a `PrioritizedSample`.
            priorities: `[k]`, at least 0, without the offset.
        """
        self._tree.assign(places, self.prioritization.weights(priorities))
        self._largest = max(self._largest, float(np.max(priorities)))

    def save_priorities(self, directory: Path) -> None:
        """Writes the priorities into `directory`, for `restore_priorities`."""
        np.savez(directory / _FILE, weights=self._tree.weights, largest=self._largest)

    def restore_priorities(self, directory: Path) -> None:
        """Takes up the priorities that `save_priorities` wrote, exactly, after `restore` of the rows."""
        with np.load(directory / _FILE) as arrays:
            self._tree.assign_all(arrays["weights"])
            self._largest = float(arrays["largest"])

    def _add_batch(self, items: trajectory.Trajectory) -> None:
        super()._add_batch(items)
        written, envs = self._added - 1, np.arange(self._num_envs)
        self._tree.assign(written % self._num_rows * self._num_envs + envs, 0.0)
        complete = written - self._n_step
        if complete >= self._oldest:
            starts = (complete - self._oldest) * self._num_envs + envs
            new = self.prioritization.weights(np.array([self._largest]))[0]
            valid = self._windows(starts).valid
            self._tree.assign(self._places_of(starts), np.where(valid, new, 0.0))
        # Rows whose stack reached back to the frame that was overwritten.
        expiring = min((self._stack_size - 1) * self._num_envs, self._num_candidates)
        if expiring and self._oldest:
            starts = np.arange(expiring)
            gone = starts[~self._windows(starts).valid]
            self._tree.assign(self._places_of(gone), 0.0)

    def _clear(self) -> None:
        super()._clear()
        self._tree.assign_all(np.zeros(self._capacity))

    def _places_of(self, starts: np.ndarray) -> np.ndarray:
        age, env = np.divmod(starts, self._num_envs)
        return (self._oldest + age) % self._num_rows * self._num_envs + env

    def _starts_at(self, places: np.ndarray) -> np.ndarray:
        index, env = np.divmod(places, self._num_envs)
        return (index - self._oldest) % self._num_rows * self._num_envs + env


def with_weights(batch: trajectory.Trajectory, weights: Any = None) -> trajectory.Trajectory:
    """Returns a batch with importance weights `[batch] float32`, 1 by default, in `policy_info`."""
    weights = np.ones(len(batch.reward), np.float32) if weights is None else weights
    return batch._replace(policy_info=weights)
