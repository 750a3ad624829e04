"""Labels and orders of examples and pixels in task number t of a stream: pure functions of a root seed.

All are traceable: `task` and `epoch` may be tensors, so that a compiled loop can itself move from one task to
the next. Eager, in a graph and under XLA they give the same bits.
"""

import tensorflow as tf

from tfplastic import seeds
from tfplastic._checks import check_integer, check_positive_integer
from tfplastic._tf.random import fold_in, random_bits, random_integers


def random_labels(num_examples: int, num_classes: int, seed: int, task: int | tf.Tensor) -> tf.Tensor:
    """Returns independent labels of the examples in task `task`, uniform over the classes.

    Random-label memorization: the images stay the same, each task draws new labels for all of them.

    - Lyle et al. 2023, section 4.1 and appendix A.1: 5,000 images of MNIST, two hidden layers of 1,024 units,
      Adam at 1e-3; batch size, steps per task and number of tasks are not given.
    - Kumar et al. 2023, section 4.2: 1,200 images of MNIST or CIFAR-10, batches of 16, 400 epochs (30,000
      steps) per task, 50 tasks.

    Args:
        num_examples: number of images.
        num_classes: number of classes.
        seed: root seed of the stream.
        task: number of the task, from 0; an integer or an integer tensor `[]`.

    Returns:
        `[num_examples] int32`, from 0 to `num_classes - 1`.

    Raises:
        ValueError: if a count is below 1 or an integer `task` below 0.

    Example:
        >>> import tfplastic as tp
        >>> first = tp.tasks.random_labels(1200, 10, seed=0, task=0)
        >>> second = tp.tasks.random_labels(1200, 10, seed=0, task=1)
        >>> first.shape, 0.05 < float((first.numpy() == second.numpy()).mean()) < 0.15
        (TensorShape([1200]), True)
    """
    check_positive_integer("num_examples", num_examples)
    check_positive_integer("num_classes", num_classes)
    key = _folded_key(seed, "random_labels", "task", task)
    return random_integers([num_examples], key, num_classes)


def shuffled_labels(labels: tf.Tensor, seed: int, task: int | tf.Tensor) -> tf.Tensor:
    """Returns the given labels in a random order for task `task`: each class keeps its number of examples.

    As in the released code of Kumar et al. 2023; their text has uniform labels (`random_labels`).

    Args:
        labels: `[examples]`, of any type, such as the true labels.
        seed: root seed of the stream.
        task: number of the task, from 0; an integer or an integer tensor `[]`.

    Returns:
        `[examples]` of the type of `labels`.

    Raises:
        ValueError: there are no labels, or an integer `task` is below 0.

    Example:
        >>> import tfplastic as tp
        >>> sorted(tp.tasks.shuffled_labels([0, 0, 1, 2], seed=0, task=3).numpy().tolist())
        [0, 0, 1, 2]
    """
    labels = tf.convert_to_tensor(labels)  # [examples]
    if labels.shape.rank != 1 or not labels.shape[0]:
        raise ValueError(f"`labels` must be of shape [examples], at least one. Received: {labels.shape}")
    return tf.gather(
        labels, _permutation(labels.shape[0], _folded_key(seed, "shuffled_labels", "task", task))
    )


def epoch_order(num_examples: int, seed: int, epoch: int | tf.Tensor) -> tf.Tensor:
    """Returns the order in which the examples come in epoch `epoch`: a uniform permutation.

    It costs a sort of all examples, so a loop keeps it in its state and takes batches from it.

    Args:
        num_examples: number of examples.
        seed: root seed of the order.
        epoch: number of the epoch, from 0, counted over all tasks if each is to have orders of its own; an
            integer or an integer tensor `[]`.

    Returns:
        `[num_examples] int32`, each of 0 to `num_examples - 1` once.

    Raises:
        ValueError: if `num_examples` is below 1 or an integer `epoch` below 0.

    Example:
        >>> import tfplastic as tp
        >>> sorted(tp.tasks.epoch_order(5, seed=0, epoch=2).numpy().tolist())
        [0, 1, 2, 3, 4]
    """
    check_positive_integer("num_examples", num_examples)
    return _permutation(num_examples, _folded_key(seed, "epoch_order", "epoch", epoch))


def pixel_order(num_pixels: int, seed: int, task: int | tf.Tensor) -> tf.Tensor:
    """Returns the order of the pixels in task `task`: a uniform permutation, independent of other tasks'.

    Args:
        num_pixels: number of pixels of an image, of all its channels.
        seed: root seed of the stream.
        task: number of the task, from 0; an integer or an integer tensor `[]`.

    Returns:
        `[num_pixels] int32`, each of 0 to `num_pixels - 1` once.

    Raises:
        ValueError: if `num_pixels` is below 1 or an integer `task` below 0.

    Example:
        >>> import tfplastic as tp
        >>> sorted(tp.tasks.pixel_order(4, seed=0, task=2).numpy().tolist())
        [0, 1, 2, 3]
    """
    check_positive_integer("num_pixels", num_pixels)
    return _permutation(num_pixels, _folded_key(seed, "pixel_order", "task", task))


def class_order(num_classes: int, seed: int, task: int | tf.Tensor) -> tf.Tensor:
    """Returns the order of the classes in task `task`: a uniform permutation, independent of other tasks'.

    Args:
        num_classes: number of classes.
        seed: root seed of the stream.
        task: number of the task, from 0; an integer or an integer tensor `[]`.

    Returns:
        `[num_classes] int32`, each of 0 to `num_classes - 1` once.

    Raises:
        ValueError: if `num_classes` is below 1 or an integer `task` below 0.

    Example:
        >>> import tfplastic as tp
        >>> sorted(tp.tasks.class_order(3, seed=0, task=2).numpy().tolist())
        [0, 1, 2]
    """
    check_positive_integer("num_classes", num_classes)
    return _permutation(num_classes, _folded_key(seed, "class_order", "task", task))


def chosen_examples(num_examples: int, count: int, seed: int, task: int | tf.Tensor) -> tf.Tensor:
    """Returns which examples are among `count` chosen ones in task `task`, drawn without replacement.

    Args:
        num_examples: number of examples.
        count: number of chosen ones, from 0 to `num_examples`.
        seed: root seed of the stream.
        task: number of the task, from 0; an integer or an integer tensor `[]`.

    Returns:
        `[num_examples] bool`, of which `count` are True.

    Raises:
        ValueError: if a count is out of its range or an integer `task` below 0.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> int(tf.math.count_nonzero(tp.tasks.chosen_examples(10, 4, seed=0, task=2)))
        4
    """
    check_positive_integer("num_examples", num_examples)
    check_integer("count", count, 0, num_examples)
    return _permutation(num_examples, _folded_key(seed, "chosen_examples", "task", task)) < count


def _permutation(count: int, key: tf.Tensor) -> tf.Tensor:
    # `stateless_shuffle` has no XLA kernel. In a third of all orders two of 60,000 draws of 32 bits are
    # equal; the stable sort then keeps their examples in sequence, everywhere alike.
    return tf.argsort(random_bits([count], key), stable=True)


def _folded_key(seed: int, name: str, number_name: str, number: int | tf.Tensor) -> tf.Tensor:
    # Under a name of its own, so that the labels of a task and the order of an epoch are independent.
    if not tf.is_tensor(number):
        check_integer(number_name, number)
    key = tf.constant(seeds.derive(seed, name))
    return fold_in(key, number)
