"""Scores of a stream of tasks, from the accuracy of each gradient step.

The accuracy of a step is the fraction of the step's batch that the network classifies rightly *before* it
learns from that batch, so that a network that adapts faster within a task scores higher.
"""

from typing import Any

import numpy as np

from tfplastic._checks import check_positive_integer


def online_accuracy(accuracies: Any, steps_per_task: int) -> np.ndarray:
    """Returns each task's mean accuracy, `sum_{j=t}^{t+M-1} a_j / M` for a task that starts at t.

    Kumar et al. 2023, section 4.1, call it the average online task accuracy. Where all tasks are equally
    hard, its fall over the tasks is their definition of plasticity loss.

    Args:
        accuracies: `[..., steps]` in [0, 1], `a_j` of step j; leading axes are kept, such as one of seeds.
        steps_per_task: `M`.

    Returns:
        `[..., tasks] float64` in [0, 1]. An incomplete last task is left out. NaN where a step of the
        task is NaN.

    Raises:
        ValueError: if `steps_per_task` is below 1, or `accuracies` has no axis or a value outside [0, 1].

    Example:
        >>> import tfplastic as tp
        >>> tp.tasks.online_accuracy([0, 0.5, 1, 0.25, 0.5, 0.75, 0.125], steps_per_task=3).tolist()
        [0.5, 0.5]
    """
    return _by_task(accuracies, steps_per_task).mean(-1)


def end_of_task_accuracy(accuracies: Any, steps_per_task: int, window: int = 1) -> np.ndarray:
    """Returns the mean accuracy over the last `window` steps of each task.

    For Fig. 1, Lyle et al. 2023, appendix A.1, log the accuracy on a sample of 4,096 examples at the end of
    each task. With batches of B examples, a window of 4096 / B steps sees as many, by a network that still
    changes.

    Args:
        accuracies: `[..., steps]` in [0, 1].
        steps_per_task: number of steps in each task.
        window: number of steps, at most `steps_per_task`.

    Returns:
        `[..., tasks] float64` in [0, 1]. An incomplete last task is left out. NaN where a step of the
        window is NaN.

    Raises:
        ValueError: if a number of steps is out of its range, or `accuracies` has no axis or a value outside
            [0, 1].

    Example:
        >>> import tfplastic as tp
        >>> tp.tasks.end_of_task_accuracy([0, 0.5, 1, 0.25, 0.5, 0.75], steps_per_task=3).tolist()
        [1.0, 0.75]
    """
    by_task = _by_task(accuracies, steps_per_task)
    check_positive_integer("window", window)
    if window > steps_per_task:
        raise ValueError(
            f"`window` must be at most `steps_per_task`, which is {steps_per_task}. Received: {window!r}"
        )
    return by_task[..., -window:].mean(-1)


def average_online_accuracy(accuracies: Any) -> np.ndarray:
    """Returns the mean accuracy over all steps of the stream.

    Kumar et al. 2023, section 4.1, call it the total average online accuracy and choose hyper-parameters by
    it.

    Args:
        accuracies: `[..., steps]` in [0, 1], at least one step.

    Returns:
        `[...] float64` in [0, 1]. NaN where a step is NaN.

    Raises:
        ValueError: there is no step, or a value is outside [0, 1].

    Example:
        >>> import tfplastic as tp
        >>> float(tp.tasks.average_online_accuracy([0, 0.5, 1]))
        0.5
    """
    accuracies = _checked(accuracies)
    if not accuracies.shape[-1]:
        raise ValueError("`accuracies` must have at least one step. Received: no step")
    return np.asarray(accuracies.mean(-1))


def _by_task(accuracies: Any, steps_per_task: int) -> np.ndarray:
    accuracies = _checked(accuracies)  # [..., steps]
    check_positive_integer("steps_per_task", steps_per_task)
    *leading, steps = accuracies.shape
    tasks = steps // steps_per_task
    return accuracies[..., : tasks * steps_per_task].reshape(*leading, tasks, steps_per_task)


def _checked(accuracies: Any) -> np.ndarray:
    accuracies = np.asarray(accuracies, np.float64)
    if not accuracies.ndim:
        raise ValueError(f"`accuracies` must be of shape [..., steps]. Received: {accuracies}")
    outside = accuracies[(accuracies < 0) | (accuracies > 1)]
    if outside.size:
        raise ValueError(f"`accuracies` must be numbers in [0, 1]. Received: {outside[0]} among others")
    return accuracies
