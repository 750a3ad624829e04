"""Backward transfer, against accuracies computed in numpy from the weights at the end of each task."""

import functools

import numpy as np
import pytest

import tfplastic as tp
from tests.training.events.event_test import Counting
from tests.training.graph_loop_test import make_loop, rows, run, steps_of, values_of

STEPS, TASKS = 5, 4


class Keeping(Counting):
    """Keeps the weights at the end of each task."""

    def __init__(self, **arguments):
        super().__init__(steps=[STEPS * (number + 1) for number in range(TASKS)], **arguments)
        self.weights = []

    def run(self, session):
        done = super().run(session)
        if done:
            self.weights.append(session.task.model.get_weights())
        return done


def loop(**arguments):
    network = functools.partial(tp.networks.mlp, hidden=(16,))
    settings = dict(num_examples=40, epochs_per_task=1, batch_size=8, permutation="cumulative")
    task = tp.tasks.PermutedPixels("digits", network, **settings)
    events = [Keeping(**arguments), tp.training.BackwardTransfer()]
    return make_loop(task=task, events=events, total_steps=STEPS * TASKS)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole")
    return path, run(path, loop())[0]


def accuracies(made):
    """A[t, m], the accuracy of the network at the end of task t on task m."""
    images, labels = made.task.images.numpy().reshape(40, -1), made.task.labels.numpy()
    found, order = np.zeros([TASKS, TASKS]), np.arange(64)
    for m in range(TASKS):
        order = order[tp.tasks.pixel_order(64, 0, m).numpy()]
        for t, (w1, b1, w2, b2) in enumerate(made.config.events[0].weights):
            outputs = np.maximum(images[:, order] @ w1 + b1, 0) @ w2 + b2
            found[t, m] = (outputs.argmax(1) == labels).mean()
    return found


def test_values_are_those_of_numpy(whole):
    path, made = whole
    a = accuracies(made)
    own, following = np.diag(a), np.diag(a, -1)
    one_step = [np.mean((following - own[:-1])[:t]) for t in range(1, TASKS)]
    assert values_of(path, "evaluation/one_step_backward_transfer") == pytest.approx(one_step)
    assert steps_of(path, "evaluation/one_step_backward_transfer") == [10, 15, 20]
    assert values_of(path, "evaluation/backward_transfer") == pytest.approx([np.mean(a[-1, :-1] - own[:-1])])
    assert steps_of(path, "evaluation/backward_transfer") == [20]
    assert len(set(one_step)) > 1


def test_a_run_that_is_resumed_has_the_same_values(whole, tmp_path):
    run(tmp_path, loop(cut_short_at=10))
    run(tmp_path, loop())
    assert rows(tmp_path) == rows(whole[0])


def test_tasks_it_cannot_have(tmp_path):
    mdp = tp.rl.ClassificationMdpTask(
        "digits", tp.tasks.true_label_mdp, tp.rl.double_dqn, tp.networks.mlp, warm_up_agent_steps=64
    )
    event = tp.training.BackwardTransfer(num_tasks=2)
    with pytest.raises(ValueError) as error:
        run(tmp_path / "tasks", make_loop(events=[event]))
    assert str(error.value) == ("`num_tasks` must be at least the number of tasks of the run, 3. Received: 2")
    with pytest.raises(ValueError) as error:
        run(tmp_path / "mdp", make_loop(task=mdp, events=[event]))
    assert str(error.value) == (
        "`task` must be a stream of tasks of one length, such as @PermutedPixels(), with BackwardTransfer."
        " Received: ClassificationMdpTask"
    )
