"""A replay memory that lives in the compiled program: tensors that the loop carries along."""

from typing import Any, NamedTuple

import tensorflow as tf

from tfplastic._checks import check_positive_integer
from tfplastic.tasks.classification_mdp import uniform_integers


class GraphReplay(NamedTuple):
    """A ring of the last `capacity` items, a nest of tensors; adding gives a new one.

    Every method but `newest` is traceable, also under XLA.

    Memory: the memory of the items. A classification MDP keeps indices of images, not pixels: 16 bytes for
    (observation, action, reward, next observation), 1.6 MB for 100,000 transitions, where MNIST's pixels of
    both observations would take 157 MB as uint8.

    Time: XLA adds in place, whatever the capacity. TensorFlow's own kernel for CPUs copies the tensors at
    each addition, which takes 0.05 ms for 100,000 transitions of 16 bytes and ten times that for ten times as
    many. (Its kernels that write in place either do not compile under XLA or change the caller's tensors.)

    Attributes:
        items: a nest of tensors `[capacity, ...]`; place t % capacity holds item t.
        num_added: `[] int64`, items added so far.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> from tfplastic.rl.replay.graph_replay import GraphReplay
        >>> replay = GraphReplay.empty(3, {'x': tf.TensorSpec([], tf.int32)})
        >>> for batch in ([1, 2], [3, 4]):
        ...     replay = replay.add({'x': tf.constant(batch)})
        >>> replay.items['x'].numpy().tolist(), int(replay.num_added)
        ([4, 2, 3], 4)
        >>> sorted(set(replay.sample(50, tp.seeds.derive(0, 'sample'))['x'].numpy().tolist()))
        [2, 3, 4]
    """

    items: Any
    num_added: tf.Tensor

    @classmethod
    def empty(cls, capacity: int, spec: Any) -> "GraphReplay":
        """Returns a replay without items.

        Args:
            capacity: items kept, at least 1.
            spec: a nest of `tf.TensorSpec` of one item.

        Raises:
            ValueError: if `capacity` is below 1.
        """
        check_positive_integer("capacity", capacity)
        items = tf.nest.map_structure(lambda leaf: tf.zeros([capacity, *leaf.shape], leaf.dtype), spec)
        return cls(items, tf.zeros([], tf.int64))

    @property
    def capacity(self) -> int:
        """Items kept."""
        return tf.nest.flatten(self.items)[0].shape[0]

    def add(self, items: Any) -> "GraphReplay":
        """Adds a batch of items, overwriting the oldest ones; returns the new replay.

        Args:
            items: a nest as the replay's own, each tensor `[batch, ...]`, batch at most the capacity.

        Raises:
            ValueError: if the batch is larger than the capacity.
        """
        batch = tf.nest.flatten(items)[0].shape[0]
        if batch > self.capacity:
            raise ValueError(
                f"`items` must be at most as many as the capacity, {self.capacity}. Received: {batch}"
            )
        places = (self.num_added + tf.range(batch, dtype=tf.int64)) % self.capacity  # [batch]
        kept = tf.nest.map_structure(
            lambda old, new: tf.tensor_scatter_nd_update(old, places[:, None], new), self.items, items
        )
        return GraphReplay(kept, self.num_added + batch)

    def sample(self, count: int, key: tf.Tensor) -> Any:
        """Draws items, each uniform over those kept, with replacement.

        Args:
            count: number of items. The replay must have at least one: an empty one gives zeros.
            key: `[2] int32`.

        Returns:
            A nest of `[count, ...]`.
        """
        places = uniform_integers(count, key, self.size)  # [count]
        return tf.nest.map_structure(lambda kept: tf.gather(kept, places), self.items)

    def batch(self, index: tf.Tensor, count: int) -> Any:
        """Returns the items of one batch of all: `index * count` and those that follow, in their places.

        Args:
            index: `[] int32`, below the number of whole batches that are kept.
            count: items in a batch.
        """
        places = tf.cast(index, tf.int64) * count + tf.range(count, dtype=tf.int64)  # [count]
        return tf.nest.map_structure(lambda kept: tf.gather(kept, places), self.items)

    @property
    def size(self) -> tf.Tensor:
        """`[] int64`, items kept now."""
        return tf.minimum(self.num_added, self.capacity)

    def newest(self, count: int) -> Any:
        """Returns the last `count` items, or all if there are fewer, the newest first; not traceable."""
        size = min(count, self.capacity, int(self.num_added))
        places = (self.num_added - 1 - tf.range(size, dtype=tf.int64)) % self.capacity  # [size]
        return tf.nest.map_structure(lambda kept: tf.gather(kept, places), self.items)
