"""Value-based agents on MinAtar, as a task of the training loop."""

from collections.abc import Callable

import gin

from tfplastic._checks import check_instance
from tfplastic._keras import keras
from tfplastic.rl.agents import QAgent
from tfplastic.rl.agents.acting import LinearEpsilon
from tfplastic.rl.evaluation import Evaluation
from tfplastic.rl.minatar import MinAtarProtocol
from tfplastic.rl.minatar.games import check_game
from tfplastic.rl.replay import Prioritization
from tfplastic.rl.replay_task import ReplayTask


@gin.register(module="tfplastic.rl")
class MinAtarTask(ReplayTask):
    """A TF-Agents value-based agent that acts, stores and samples on one game of MinAtar.

    The defaults are those of Young and Tian 2019, table 1 and example `dqn.py`. An agent step is a frame.
    Agent steps and gradient steps keep `replay_ratio` exactly, whatever `num_envs` is: after gradient step s,
    warm_up + s / replay_ratio agent steps have been made, rounded up, or up to num_envs - 1 more.

    Args:
        game: `'asterix'`, `'breakout'`, `'freeway'`, `'seaquest'` or `'space_invaders'`.
        agent: `dqn`, `double_dqn`, `c51`, `qr_dqn`, `two_hot_dqn` or `rainbow`.
        network: builder of the model; called with the number of outputs and `observation_shape`, `seed`.
        protocol: protocol of the game.
        num_envs: environments side by side, which act in one call of the network.
        replay_capacity: steps kept.
        batch_size: examples per gradient step.
        warm_up_agent_steps: agent steps before the first gradient step.
        replay_ratio: gradient steps per agent step, above 0. Ratios of two integers, the smaller one up to
            1,000, are exact.
        target_update_period: gradient steps between hard copies to the target network.
        epsilon: function from agent steps since the warm-up to the probability of a random action. To
            0.1 over 100,000 frames in `dqn.py`.
        evaluation: settings of the evaluation.
        prioritization: settings of draws from the replay by priority; None for uniform draws.
        diagnostics_batch_size: size of the batch that diagnostics see, drawn once at the end of the warm-up.

    Raises:
        ValueError: if the game is unknown or a number is out of its range.
        ImportError: if `minatar` is not installed.

    Example:
        >>> import tfplastic as tp
        >>> task = tp.rl.MinAtarTask(
        ...     'breakout', tp.rl.dqn, tp.networks.minatar_cnn, num_envs=2, warm_up_agent_steps=50
        ... )
        >>> task.build(seed=0)
        >>> task.start()
        >>> for _ in task.warm_up():
        ...     pass
        >>> task.next().observation.shape  # [batch, n_step + 1, height, width, channels]
        (32, 2, 10, 10, 4)
        >>> task.close()
    """

    name = "minatar"

    def __init__(
        self,
        game: str,
        agent: Callable[..., QAgent],
        network: Callable[..., keras.Model],
        *,
        protocol: MinAtarProtocol = MinAtarProtocol(),  # noqa: B008 (frozen)
        num_envs: int = 1,
        replay_capacity: int = 100_000,
        batch_size: int = 32,
        warm_up_agent_steps: int = 5_000,
        replay_ratio: float = 1.0,
        target_update_period: int = 1_000,
        epsilon: Callable[[int], float] = LinearEpsilon(decay_agent_steps=100_000),  # noqa: B008 (frozen)
        evaluation: Evaluation = Evaluation(),  # noqa: B008 (frozen)
        prioritization: Prioritization | None = None,
        diagnostics_batch_size: int = 128,
    ):
        check_instance("protocol", protocol, MinAtarProtocol, "@MinAtarProtocol()")
        super().__init__(
            check_game(game),
            agent,
            network,
            protocol=protocol,
            num_envs=num_envs,
            replay_capacity=replay_capacity,
            batch_size=batch_size,
            warm_up_agent_steps=warm_up_agent_steps,
            replay_ratio=replay_ratio,
            target_update_period=target_update_period,
            epsilon=epsilon,
            evaluation=evaluation,
            prioritization=prioritization,
            diagnostics_batch_size=diagnostics_batch_size,
        )
