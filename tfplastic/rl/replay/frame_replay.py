"""Replay memory that stores each frame once and stacks frames when it samples."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gin
import numpy as np
import tensorflow as tf
from tf_agents.replay_buffers import replay_buffer
from tf_agents.trajectories import time_step, trajectory

from tfplastic import seeds
from tfplastic._checks import check_fits_in_memory, check_positive_integer
from tfplastic.rl.replay.segments import SegmentLog

_FIRST, _MID, _LAST = (
    int(kind) for kind in (time_step.StepType.FIRST, time_step.StepType.MID, time_step.StepType.LAST)
)
_SIDE_DTYPES = {
    "action": np.int32,
    "reward": np.float32,
    "discount": np.float32,
    "step_type": np.int8,
    "next_step_type": np.int8,
}
_REJECTION_ROUNDS = 16
_SCAN_CHUNK = 65_536  # starts examined at once when all are counted


def replay_bytes(capacity: int, frame_shape: Sequence[int] = (84, 84)) -> int:
    """Returns the bytes of memory that a `FrameReplay` allocates: `capacity * (pixels of a frame + 14)`.

    Args:
        capacity: stored steps, over all environments.
        frame_shape: `(height, width)` or `(height, width, channels)`.

    Example:
        >>> replay_bytes(1_000_000) / 1e9  # GB
        7.07
    """
    side = sum(np.dtype(dtype).itemsize for dtype in _SIDE_DTYPES.values())
    return capacity * (math.prod(frame_shape) + side)


@gin.register(module="tfplastic.rl")
class FrameReplay(replay_buffer.ReplayBuffer):
    """A ring of steps per environment, sampled uniformly with replacement.

    Row `t` holds the newest frame of observation `t`, the action taken on it, the reward and the discount
    that followed, and the step types at `t` and `t + 1`: a TF-Agents `Trajectory` whose observation is
    reduced to one frame. An episode of `T` actions takes `T + 1` rows, as TF-Agents closes each with a row of
    step type LAST, which holds the final observation. Stacks are put together when sampling; frames from
    before an episode's FIRST row are zeros, as in `ale_py`'s vector environment.

    A sample is `n_step + 1` consecutive rows. Discounts are not multiplied here; the agent multiplies them
    once. A row is a *start* if

    - it is not LAST;
    - the frames of its stack are held: not yet overwritten, or zeros from before the episode;
    - the `n_step` rows after it are written; and
    - if its episode ends fewer than `n_step` steps later, it ends with discount 0. Then the rows from the
      final observation on are absorbing: that observation again, reward 0, discount 0, step types LAST, so
      that an n-step agent gets exactly the return up to the end. An episode that was cut off (discount 1) has
      no start this near its end, as the n-step target would discount its bootstrap value by too many steps.

    A lost life is a discount of 0 in the middle of an episode; the agent's product of discounts cuts the
    return there, so the replay treats it like any other step. Rows before an unexpected FIRST, after a
    collection that stopped without LAST, are not starts if their window would reach it. `policy_info` is not
    kept.

    Args:
        capacity: stored steps over all environments, one closing step per episode included; each environment
            has `capacity / num_envs` of them. The field's values: 1,000,000 (Mnih et al., 2015, extended data
            table 1) and 100,000 (Lyle et al., 2023).
        num_envs: environments that are stored side by side; `add_batch` takes one step of each.
        frame_shape: `(height, width)` of a frame, or `(height, width, channels)`.
        stack_size: frames per observation (4: Mnih et al., 2015, Methods), one after another in its last
            axis.
        n_step: steps of an n-step return. The agent's `n_step_update` must be the same.

    Raises:
        ValueError: if an argument is out of range, `num_envs` does not divide `capacity`, or an environment's
            ring is shorter than `stack_size + n_step`.

    Example:
        >>> import numpy as np
        >>> from tf_agents.trajectories.trajectory import Trajectory
        >>> from tfplastic import seeds
        >>> replay = FrameReplay(capacity=10, frame_shape=(2, 2), stack_size=2)
        >>> for t in range(4):
        ...     replay.add_batch(Trajectory(
        ...         step_type=np.int32([min(t, 1)]), observation=np.full([1, 2, 2, 2], t, np.uint8),
        ...         action=np.int32([0]), policy_info=(), next_step_type=np.int32([1]),
        ...         reward=np.float32([t]), discount=np.float32([1])))
        >>> replay.num_frames(), replay.num_transitions
        (4, 3)
        >>> replay.sample(32, seeds.derive(0, 'sample', 0)).observation.shape
        (32, 2, 2, 2, 2)
    """

    def __init__(
        self,
        capacity: int,
        num_envs: int = 1,
        frame_shape: Sequence[int] = (84, 84),
        stack_size: int = 4,
        n_step: int = 1,
    ):
        capacity = check_positive_integer("capacity", capacity)
        self._num_envs = check_positive_integer("num_envs", num_envs)
        self._stack_size = check_positive_integer("stack_size", stack_size)
        self._n_step = check_positive_integer("n_step", n_step)
        if not isinstance(frame_shape, Sequence) or len(frame_shape) not in (2, 3):
            raise ValueError(
                "`frame_shape` must be (height, width) or (height, width, channels). "
                f"Received: {frame_shape!r}"
            )
        height, width, *rest = (check_positive_integer("frame_shape", size) for size in frame_shape)
        self._channels = rest[0] if rest else 1
        if capacity % num_envs:
            raise ValueError(
                f"`capacity` must be a multiple of `num_envs` = {num_envs}. Received: {capacity}"
            )
        if capacity // num_envs < stack_size + n_step:
            raise ValueError(
                f"`capacity` must be at least `num_envs * (stack_size + n_step)` = "
                f"{num_envs * (stack_size + n_step)}. Received: {capacity}"
            )
        check_fits_in_memory("capacity", capacity, replay_bytes(capacity, frame_shape))
        observation_shape = (height, width, stack_size * self._channels)
        super().__init__(_data_spec(observation_shape), capacity)
        self._num_rows = capacity // num_envs
        self._rows = _Rows.allocate(self._num_rows, num_envs, (height, width, *rest))
        self._segments = SegmentLog(vars(self._rows))
        self._observation_shape = (num_envs, *observation_shape)
        self._added = 0  # rows added so far; the next one is written at index `_added % _num_rows`
        self._cleared = 0  # rows before this one are gone
        self._draws = 0  # keys used by `get_next` and `as_dataset`

    @property
    def nbytes(self) -> int:
        """Bytes allocated. The system hands them out as rows are first written."""
        return sum(column.nbytes for column in vars(self._rows).values())

    @property
    def num_transitions(self) -> int:
        """The number of starts, over all environments, counted by going over the rows (15 ms per 100,000)."""
        return len(self._all_starts())

    def sample(self, batch_size: int, key: np.ndarray) -> trajectory.Trajectory:
        """Draws starts uniformly, with replacement, and returns the `n_step + 1` rows from each.

        A pure function of the buffer's contents and of `key`.

        Args:
            batch_size: number of starts.
            key: `[2] int32` from `seeds.derive`.

        Returns:
            A `Trajectory` of numpy arrays `[batch_size, n_step + 1, ...]`: observation
            `[..., height, width, stack_size * channels] uint8`, oldest frame first; action, step types int32;
            reward, discount float32. The values after the observation in the last row (action, reward,
            discount) are not part of an n-step transition.

        Raises:
            ValueError: if no row is a start.
        """
        batch_size = check_positive_integer("batch_size", batch_size)
        return self._gather(self._draw(batch_size, seeds.generator(key)))

    def batches(self, batch_size: int) -> Sequence[trajectory.Trajectory]:
        """Returns all starts in the order of their rows, in whole batches, for one pass over them.

        Args:
            batch_size: number of starts in each.

        Returns:
            A sequence whose batches are made when they are asked for, as `sample` returns them; it holds
            until something is added.
        """
        return _Batches(self._read, self._all_starts(), check_positive_integer("batch_size", batch_size))

    def save(self, directory: Path) -> list[str]:
        """Writes the rows since the last save as one segment file, if there are any.

        Args:
            directory: directory of the segments; made if missing.

        Returns:
            The names of all files in `directory` that a checkpoint made now needs; other segments may be
            removed if no earlier checkpoint needs them.
        """
        return self._segments.save(directory, self._oldest, self._added)

    def restore(self, directory: Path, names: Sequence[str]) -> None:
        """Puts back the rows, the head and the counters as they were when `save` returned `names`.

        Args:
            directory: directory of the segments.
            names: names from `save`.

        Raises:
            ValueError: if a file is missing, damaged or of a buffer of another capacity, `num_envs` or frame
                shape. Nothing is changed then.
        """
        self._cleared, self._added = self._segments.restore(directory, names)

    @property
    def _oldest(self) -> int:
        return max(self._cleared, self._added - self._num_rows)

    def _num_frames(self) -> int:
        return (self._added - self._oldest) * self._num_envs

    def _add_batch(self, items: trajectory.Trajectory) -> None:
        observation = np.asarray(items.observation)
        if observation.shape != self._observation_shape or observation.dtype != np.uint8:
            raise ValueError(
                f"`observation` must be uint8 of shape {self._observation_shape}. "
                f"Received: {observation.dtype} of shape {observation.shape}"
            )
        rows, index = self._rows, self._added % self._num_rows
        rows.frame[index] = observation[..., -self._channels :].reshape(rows.frame.shape[1:])
        rows.action[index] = items.action
        rows.reward[index] = items.reward
        rows.discount[index] = items.discount
        rows.step_type[index] = items.step_type
        rows.next_step_type[index] = items.next_step_type
        self._added += 1

    def _clear(self) -> None:
        # Rows keep their numbers, so that no later segment takes the name of one that a checkpoint needs.
        self._cleared = self._added

    def _draw(self, batch_size: int, generator: np.random.Generator) -> "_Windows":
        """Windows of `batch_size` starts, by rejection; where that takes too long, from the list of all."""
        drawn, missing = [], batch_size
        for _ in range(_REJECTION_ROUNDS if self._num_candidates else 0):
            windows = self._windows(generator.integers(self._num_candidates, size=batch_size))
            drawn.append(windows.of(np.flatnonzero(windows.valid)[:missing]))
            missing -= len(drawn[-1].steps)
            if not missing:
                return _Windows.joined(drawn)
        every_start = self._all_starts()
        if not len(every_start):
            raise ValueError(
                f"`sample` must find {self._n_step} steps and the first one's stack within an episode. "
                f"Received: a replay of {self._num_frames()} frames without. Add more steps first"
            )
        return _Windows.joined([*drawn, self._windows(generator.choice(every_start, missing))])

    @property
    def _num_candidates(self) -> int:
        """Rows, over all environments, that are held and followed by `n_step` rows; see `_windows`."""
        return max(0, self._added - self._n_step - self._oldest) * self._num_envs

    def _all_starts(self) -> np.ndarray:
        chunks = [np.empty(0, np.int64)]
        for begin in range(0, self._num_candidates, _SCAN_CHUNK):
            candidates = np.arange(begin, min(begin + _SCAN_CHUNK, self._num_candidates))
            chunks.append(candidates[self._windows(candidates).valid])
        return np.concatenate(chunks)

    def _windows(self, starts: np.ndarray) -> "_Windows":
        """Returns rows around `starts`; `k` is row `oldest + k // num_envs`, environment `k % num_envs`."""
        history = self._stack_size - 1
        age, env = np.divmod(starts[:, None], self._num_envs)  # [batch, 1]
        row = self._oldest + age + np.arange(-history, self._n_step + 1)  # [batch, history + 1 + n]
        cell = row % self._num_rows * self._num_envs + env
        kind = self._rows.step_type.ravel().take(cell)
        valid = kind[:, history] != _LAST
        blank = kind[:, :history] == _FIRST  # [batch, history], of this shape also without a history
        if history:
            # A frame is from before the episode if FIRST comes later in the stack.
            first = kind[:, 1 : history + 1] == _FIRST
            blank = np.logical_or.accumulate(first[:, ::-1], axis=1)[:, ::-1]
            valid &= (blank | (row[:, :history] >= self._oldest)).all(axis=1)
        # The first row after the start that is not MID: LAST, or FIRST of an episode that does not follow.
        following = kind[:, history + 1 :]  # [batch, n]
        boundary = (following != _MID).argmax(axis=1)  # 0 also where there is none
        each = np.arange(len(starts))
        at_boundary = following[each, boundary]
        terminated = self._rows.discount.ravel().take(cell[each, boundary + history]) == 0
        complete = (boundary == self._n_step - 1) | terminated
        valid &= (at_boundary == _MID) | (at_boundary == _LAST) & complete
        steps = np.where(at_boundary == _LAST, boundary + 1, self._n_step)
        return _Windows(cell, blank, steps, valid)

    def _read(self, starts: np.ndarray) -> trajectory.Trajectory:
        return self._gather(self._windows(starts))

    def _gather(self, windows: "_Windows") -> trajectory.Trajectory:
        rows, history, num_steps = self._rows, self._stack_size - 1, self._n_step + 1
        frame = rows.frame.reshape(self._capacity, *rows.frame.shape[2:]).take(windows.cell, axis=0)
        frame[:, :history][windows.blank] = 0  # frame: [batch, history + 1 + n, height, width(, channels)]
        observation = frame  # [batch, n + 1, height, width, stack_size * channels]
        if history or frame.ndim == 4:
            observation = np.empty((len(windows.steps), num_steps, *self._observation_shape[1:]), np.uint8)
            stacked = observation.reshape(*observation.shape[:4], self._stack_size, self._channels)
            frame = frame.reshape(*frame.shape[:4], self._channels)
            for place in range(self._stack_size):
                stacked[..., place, :] = frame[:, place : place + num_steps]

        cell = windows.cell[:, history:]  # [batch, n + 1]
        side = {name: getattr(rows, name).ravel().take(cell) for name in _SIDE_DTYPES}
        for index in np.flatnonzero(windows.steps < self._n_step):
            end = windows.steps[index]
            observation[index, end + 1 :] = observation[index, end]
            for name, column in side.items():
                column[index, end:] = _LAST if name in ("step_type", "next_step_type") else 0
        return trajectory.Trajectory(
            step_type=side["step_type"].astype(np.int32),
            observation=observation,
            action=side["action"],
            policy_info=(),
            next_step_type=side["next_step_type"].astype(np.int32),
            reward=side["reward"],
            discount=side["discount"],
        )

    def _get_next(
        self, sample_batch_size: int | None = None, num_steps: int | None = None, time_stacked: bool = True
    ) -> tuple[trajectory.Trajectory, tuple[()]]:
        """Draws a sample with a key from this object's count of calls, which a checkpoint does not hold."""
        self._check_num_steps(num_steps)
        if not time_stacked:
            raise ValueError("`time_stacked` must be True. Received: False")
        batch = self.sample(sample_batch_size or 1, seeds.derive(0, "replay", self._draws))
        self._draws += 1
        if sample_batch_size is None:
            batch = tf.nest.map_structure(lambda column: column[0], batch)
        return batch, ()

    def _as_dataset(
        self,
        sample_batch_size: int | None = None,
        num_steps: int | None = None,
        sequence_preprocess_fn: Callable | None = None,
        num_parallel_calls: int | None = None,
    ) -> tf.data.Dataset:
        self._check_num_steps(num_steps)
        for name, value in (
            ("sequence_preprocess_fn", sequence_preprocess_fn),
            ("num_parallel_calls", num_parallel_calls),
        ):
            if value is not None:
                raise ValueError(f"`{name}` must be None. Received: {value!r}")

        def batches():
            while True:
                yield self._get_next(sample_batch_size, num_steps)

        outer = [self._n_step + 1] if sample_batch_size is None else [sample_batch_size, self._n_step + 1]
        spec = tf.nest.map_structure(lambda row: tf.TensorSpec(outer + row.shape, row.dtype), self.data_spec)
        return tf.data.Dataset.from_generator(batches, output_signature=(spec, ()))

    def _single_deterministic_pass_dataset(
        self,
        sample_batch_size: int | None = None,
        num_steps: int | None = None,
        sequence_preprocess_fn: Callable | None = None,
        num_parallel_calls: int | None = None,
    ) -> tf.data.Dataset:
        raise ValueError("`single_deterministic_pass` must be False: this replay samples. Received: True")

    def _gather_all(self) -> trajectory.Trajectory:
        raise ValueError("`gather_all` would stack every frame several times; use `sample` or `as_dataset`")

    def _check_num_steps(self, num_steps: int | None) -> None:
        if num_steps != self._n_step + 1:
            raise ValueError(
                f"`num_steps` must be `n_step + 1` = {self._n_step + 1}. Received: {num_steps!r}"
            )


@dataclasses.dataclass(frozen=True)
class _Rows:
    """Columns `[num_rows, num_envs, ...]`: the rows of a segment are contiguous."""

    frame: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    discount: np.ndarray
    step_type: np.ndarray
    next_step_type: np.ndarray

    @classmethod
    def allocate(cls, num_rows: int, num_envs: int, frame_shape: tuple[int, ...]) -> "_Rows":
        side = {name: np.zeros((num_rows, num_envs), dtype) for name, dtype in _SIDE_DTYPES.items()}
        return cls(frame=np.zeros((num_rows, num_envs, *frame_shape), np.uint8), **side)


@dataclasses.dataclass(frozen=True)
class _Windows:
    """The rows that sampling from some starts reads."""

    # [batch, stack_size - 1 + n_step + 1], index into the columns flattened over rows and environments
    cell: np.ndarray
    blank: np.ndarray  # [batch, stack_size - 1] bool, frames from before the episode
    steps: np.ndarray  # [batch], steps until the episode ends, at most n_step
    valid: np.ndarray  # [batch] bool

    @classmethod
    def joined(cls, parts: Sequence["_Windows"]) -> "_Windows":
        """Returns all windows of some parts."""
        if len(parts) == 1:
            return parts[0]
        columns = zip(*(vars(part).values() for part in parts), strict=True)
        return cls(*(np.concatenate(column) for column in columns))

    def of(self, places: np.ndarray) -> "_Windows":
        """Returns the windows at some places."""
        return _Windows(*(column[places] for column in vars(self).values()))


class _Batches(Sequence[trajectory.Trajectory]):
    """The windows from some starts, read a batch at a time."""

    def __init__(
        self, read: Callable[[np.ndarray], trajectory.Trajectory], starts: np.ndarray, batch_size: int
    ):
        self._read, self._starts, self._batch_size = read, starts, batch_size

    def __len__(self) -> int:
        return len(self._starts) // self._batch_size

    def __getitem__(self, index: Any) -> Any:
        first = range(len(self))[index] * self._batch_size
        return self._read(self._starts[first : first + self._batch_size])


def _data_spec(observation_shape: tuple[int, ...]) -> trajectory.Trajectory:
    integer, real = tf.TensorSpec([], tf.int32), tf.TensorSpec([], tf.float32)
    return trajectory.Trajectory(
        step_type=integer,
        observation=tf.TensorSpec(observation_shape, tf.uint8),
        action=integer,
        policy_info=(),
        next_step_type=integer,
        reward=real,
        discount=real,
    )
