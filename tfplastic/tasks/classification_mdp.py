"""The three classification MDPs of the paper: acting is naming the class of an image.

Lyle et al. 2023, section 3.2. State s is one of `num_states` classes, and so is an action; the agent sees an
image drawn at random from the images with label s. No episode ends. Choices that the paper leaves open are
marked where they are made.
"""

from collections.abc import Sequence

import gin
import numpy as np
import tensorflow as tf

from tfplastic._checks import check_one_of, check_positive_integer
from tfplastic._tf.random import random_bits
from tfplastic.tasks.stream_parts.schedules import random_labels


class ClassificationMdp:
    """The dynamics of a classification MDP, as pure functions of states, actions and keys.

    All methods are traceable and give the same bits eager, in a graph and under XLA; `count` is the number of
    states side by side. An observation is the *index* of an image: who stores transitions stores four bytes
    for each instead of its pixels.

    Args:
        labels: `[images] int32`, the label in force of each image; each state has at least one.
        num_states: number of states and of actions.
        advances: False: the next state is uniform, whatever the action, and the reward is 1[a = s]. True: it
            is s + 1 if a = s, else uniform, and the reward is 1[a = s = last], the sparse one.
        after_last: with `advances`, successor of the last state after a = s: the `'first'` state or a
            `'uniform'` one.

    Attributes:
        labels: the given labels, a tensor.
        num_states: the given number of states.
        reward_range: the least and the largest reward of a step.

    Raises:
        ValueError: if a label is out of range, a state has no image, or `after_last` is unknown.

    Example:
        >>> import numpy as np, tfplastic as tp
        >>> mdp = tp.tasks.ClassificationMdp(np.array([1, 0, 1], np.int32), num_states=2)
        >>> key = tp.seeds.derive(0, 'example')
        >>> mdp.observe([0, 0], key).numpy().tolist()
        [1, 1]
        >>> rewards, states = mdp.step([0, 1], [1, 1], key)
        >>> rewards.numpy().tolist()
        [0.0, 1.0]
    """

    reward_range = (0.0, 1.0)

    def __init__(
        self,
        labels: np.ndarray | Sequence[int],
        num_states: int,
        *,
        advances: bool = False,
        after_last: str = "first",
    ):
        self.num_states = check_positive_integer("num_states", num_states)
        check_one_of("after_last", after_last, ("first", "uniform"))
        array = np.asarray(labels)
        if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer) or not array.size:
            raise ValueError(
                "`labels` must be integers of shape [images], at least one. "
                f"Received: {array.dtype} {list(array.shape)}"
            )
        low, high = int(array.min()), int(array.max())
        if low < 0 or high >= num_states:
            raise ValueError(f"`labels` must be from 0 to {num_states - 1}. Received: {low} to {high}")
        counts = np.bincount(array, minlength=num_states)  # [states]
        if not counts.all():
            missing = np.flatnonzero(counts == 0).tolist()
            received = f"none for {missing}. Give more images"
            raise ValueError(f"`labels` must have an image for each state. Received: {received}")
        self.labels = tf.constant(array, tf.int32)
        self._advances = advances
        self._after_last = after_last
        # The images of state s are `_by_state[_first[s] : _first[s] + _counts[s]]`.
        self._by_state = tf.constant(np.argsort(array, kind="stable"), tf.int32)  # [images]
        self._counts = tf.constant(counts, tf.int32)  # [states]
        self._first = tf.constant(np.cumsum(counts) - counts, tf.int32)  # [states]

    def initial_states(self, count: int, key: tf.Tensor) -> tf.Tensor:
        """Returns `[count] int32`, uniform. The paper does not say where an agent begins."""
        return uniform_integers(count, key, self.num_states)

    def observe(self, states: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """Returns `[count] int32`: an image's index for each state, uniform over those with its label."""
        states = tf.convert_to_tensor(states, tf.int32)  # [count]
        counts = tf.gather(self._counts, states)  # [count]
        draws = uniform_integers(states.shape[0], key, counts)  # [count]
        return tf.gather(self._by_state, tf.gather(self._first, states) + draws)

    def step(self, states: tf.Tensor, actions: tf.Tensor, key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the rewards of actions and the states that follow.

        Args:
            states: `[count] int32`.
            actions: `[count] int32`, from 0 to `num_states - 1`.
            key: `[2] int32`.

        Returns:
            Rewards, `[count] float32`, each exactly 0 or 1; next states, `[count] int32`.
        """
        states = tf.convert_to_tensor(states, tf.int32)  # [count]
        right = tf.equal(states, actions)  # [count]
        next_states = self.initial_states(states.shape[0], key)  # [count]
        if not self._advances:
            return tf.cast(right, tf.float32), next_states
        last = tf.equal(states, self.num_states - 1)  # [count]
        advance = right & ~last if self._after_last == "uniform" else right
        next_states = tf.where(advance, (states + 1) % self.num_states, next_states)
        return tf.cast(right & last, tf.float32), next_states

    def optimal_values(self, discount: float) -> np.ndarray:
        """Returns Q*(s, a), `[states, actions] float64`, to within 1e-6, by value iteration.

        With `advances` naming the class is not always best: from a low state it reaches the reward in many
        single steps, while a wrong action leads to a random state, on average nearer to it. With ten states
        and discounts from 0.8 on it is best in the last four, so that an optimal policy has an accuracy of
        0.4.

        Args:
            discount: gamma, in [0, 1).

        Raises:
            ValueError: if `discount` is out of its range; at 1 values are infinite.

        Example:
            >>> import numpy as np, tfplastic as tp
            >>> tp.tasks.ClassificationMdp([0, 1], num_states=2).optimal_values(0.5).round(3).tolist()
            [[2.0, 1.0], [1.0, 2.0]]
        """
        if not 0 <= discount < 1:
            raise ValueError(f"`discount` must be a number in [0, 1). Received: {discount!r}")
        reward = np.ones(self.num_states)  # of the right action
        if self._advances:
            reward[:-1] = 0
        values = np.zeros(self.num_states)
        while True:
            wrong = np.full(self.num_states, discount * values.mean())
            right = reward + wrong
            if self._advances:
                right = reward + discount * np.roll(values, -1)
                if self._after_last == "uniform":
                    right[-1] = reward[-1] + wrong[-1]
            change = np.abs(np.maximum(right, wrong) - values).max()
            values = np.maximum(right, wrong)
            if change * discount <= 1e-6 * (1 - discount):
                return np.where(np.eye(self.num_states, dtype=bool), right[:, None], wrong[:, None])


@gin.register(module="tfplastic.tasks")
def true_label_mdp(labels: np.ndarray, num_classes: int, seed: int) -> ClassificationMdp:
    """Returns the "easy" MDP: images of the true class, reward 1[a = s], next state uniform.

    Args:
        labels: `[images] int32`, the true labels.
        num_classes: number of classes, which are the states.
        seed: root seed; nothing here is random.

    Raises:
        ValueError: see `ClassificationMdp`.
    """
    del seed
    return ClassificationMdp(labels, num_classes)


@gin.register(module="tfplastic.tasks")
def random_label_mdp(labels: np.ndarray, num_classes: int, seed: int) -> ClassificationMdp:
    """Returns the "hard" MDP: `true_label_mdp` with a fixed label of each image, drawn uniformly.

    Args:
        labels: `[images] int32`, of which only the number counts.
        num_classes: number of classes, which are the states.
        seed: root seed of the labels.

    Raises:
        ValueError: see `ClassificationMdp`; with few images a state may have none.
    """
    drawn = random_labels(len(labels), num_classes, seed, task=0)
    return ClassificationMdp(drawn.numpy(), num_classes)


@gin.register(module="tfplastic.tasks")
def sparse_reward_mdp(
    labels: np.ndarray, num_classes: int, seed: int, *, after_last: str = "first"
) -> ClassificationMdp:
    """Returns the "sparse" MDP: reward 1[a = s = last]; the next state is s + 1 if a = s, else uniform.

    Args:
        labels: `[images] int32`, the true labels.
        num_classes: number of classes, which are the states.
        seed: root seed; nothing here is random.
        after_last: successor of the last state after a = s: `'first'`, s + 1 wrapped around, or `'uniform'`.
            The paper does not specify it.

    Raises:
        ValueError: see `ClassificationMdp`.
    """
    del seed
    return ClassificationMdp(labels, num_classes, advances=True, after_last=after_last)


def uniform_integers(count: int, key: tf.Tensor, limit: int | tf.Tensor) -> tf.Tensor:
    """Returns `[count] int32`, uniform over 0 .. limit - 1, where `limit` is one number or one for each draw.

    Each integer has its probability to within 1 in 2^32. TensorFlow's own integer draws take one limit for
    all, and its float64 draws are other ones under XLA.
    """
    bits = random_bits([count], key)
    draws = tf.cast(bits, tf.int64) + 2**31  # uniform over 0 .. 2^32 - 1
    return tf.cast(tf.bitwise.right_shift(draws * tf.cast(limit, tf.int64), 32), tf.int32)
