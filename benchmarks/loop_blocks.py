"""The contender's end of train_loop.py: takes blocks of gradient steps on request, and times them.

Only the standard library and NumPy are used here, because contenders live in different environments.
"""

import dataclasses
import gc
import importlib.metadata
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

NUM_CLASSES = 10
LEARNING_RATE, BETA_1, BETA_2, EPSILON = 1e-3, 0.9, 0.999, 1e-8
NUM_ENVS, REPLAY_CAPACITY, WARM_UP_AGENT_STEPS, TARGET_UPDATE_PERIOD = 4, 10_000, 1_000, 1_000
DISCOUNT = 0.99

TakeSteps = Callable[[int], Any]
"""Takes that many gradient steps and returns when they are done."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """The problem to train, on images of MNIST's shape with random labels.

    Attributes:
        batch_size: examples per gradient step.
        hidden: units of the dense layers.
        filters: channels of the 3 x 3 convolutions of stride 2 before them.
        is_mdp: whether Double DQN is trained on the MDP of those labels, by 4 agent steps a gradient step.
    """

    batch_size: int
    hidden: tuple[int, ...]
    filters: tuple[int, ...] = ()
    is_mdp: bool = False


PROBLEMS = {
    "mlp-16": Problem(16, (256, 256)),
    "mlp-32": Problem(32, (256, 256)),
    "mlp-128": Problem(128, (256, 256)),
    "narrow-16": Problem(16, (100, 100)),
    "cnn-16": Problem(16, (64,), (16, 16)),
    "mdp": Problem(32, (512, 512), is_mdp=True),
    "mdp-cnn": Problem(32, (64,), (16, 16), is_mdp=True),
}


def settings() -> dict[str, Any]:
    """The driver's request to a contender: its one argument, an object of JSON."""
    return json.loads(sys.argv[1])


def data() -> tuple[np.ndarray, np.ndarray]:
    """Images `[examples, 28, 28, 1] float32` in [0, 1], and random labels `[examples] int32`."""
    with np.load(os.path.join(settings()["folder"], "mnist.npz")) as arrays:
        images = arrays["x_train"][..., None].astype(np.float32) / 255
        return images, arrays["y_train"].astype(np.int32)


def serve(
    make: Callable[..., TakeSteps], packages: Sequence[str], problems: Mapping[str, Any] = PROBLEMS
) -> None:
    """Answers requests for blocks of gradient steps until the driver closes the pipe.

    Args:
        make: function called once for each problem and way to train it, with the `Problem` and the settings
            of the way.
        packages: distributions whose versions are reported.
        problems: by name.
    """
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print goes to standard error
    versions = {name: importlib.metadata.version(name) for name in packages}
    reply: dict[str, Any] = {"versions": versions | {"python": platform.python_version()}}
    made: dict[str, TakeSteps] = {}
    while True:
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
        line = sys.stdin.readline()
        if not line:
            return
        request = json.loads(line)
        try:
            key = json.dumps([request["problem"], request["way"]])
            if key not in made:
                made[key] = make(problems[request["problem"]], **request["way"])
            reply = _time(made[key], request["steps"])
        except Exception as error:  # a peer that cannot do one thing may still do the others
            text = " ".join(f"{type(error).__name__}: {error}".split())
            reply = {"error": text if len(text) < 200 else f"{text[:60]} ... {text[-120:]}"}


def _time(take_steps: TakeSteps, steps: int) -> dict[str, float]:
    """CPU seconds of the process, all threads together, and seconds by the clock."""
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    take_steps(steps)
    return {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
