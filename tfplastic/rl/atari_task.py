"""Value-based agents on Atari, as a task of the training loop."""

from collections.abc import Callable

import gin

from tfplastic import _renames
from tfplastic._checks import check_instance
from tfplastic._keras import keras
from tfplastic.rl.agents import QAgent
from tfplastic.rl.agents.acting import LinearEpsilon
from tfplastic.rl.atari import AtariProtocol
from tfplastic.rl.atari.games import check_game
from tfplastic.rl.evaluation import Evaluation
from tfplastic.rl.replay import Prioritization
from tfplastic.rl.replay_task import ReplayTask


@gin.register(module="tfplastic.rl")
@_renames.accept_old_arguments("AtariTask")
class AtariTask(ReplayTask):
    """A TF-Agents value-based agent that acts, stores and samples on one Atari game.

    Agent steps and gradient steps keep `replay_ratio` exactly, whatever `num_envs` is: after gradient step s,
    warm_up + s / replay_ratio agent steps have been made, rounded up, or up to num_envs - 1 more.

    Args:
        game: ALE name, such as `'Breakout'`.
        agent: `dqn`, `double_dqn`, `c51`, `qr_dqn`, `two_hot_dqn` or `rainbow`.
        network: builder of the model; called with the number of outputs and `observation_shape`, `seed`.
        protocol: protocol of the emulator.
        num_envs: environments side by side. 1 in the paper.
        replay_capacity: steps kept. 100,000 in Lyle et al. 2023, appendix A.3.
        batch_size: examples per gradient step. 32 in DQN Zoo.
        warm_up_agent_steps: agent steps before the first gradient step. 5 % of the replay capacity in DQN
            Zoo.
        replay_ratio: gradient steps per agent step, above 0. 1/4 in the paper. Ratios of two integers,
            the smaller one up to 1,000, are exact.
        target_update_period: gradient steps between hard copies to the target network. 120,000 frames = 7,500
            gradient steps in DQN Zoo's `double_q`.
        epsilon: function that maps agent steps since the warm-up to the probability of a random action.
        evaluation: settings of the evaluation.
        prioritization: settings of draws from the replay by priority; None for uniform draws.
        diagnostics_batch_size: size of the batch that diagnostics see, drawn once at the end of the warm-up.

    Raises:
        ValueError: if the game is unknown or a number is out of its range.

    Example:
        >>> import tfplastic as tp
        >>> task = tp.rl.AtariTask(
        ...     'Breakout', tp.rl.double_dqn, tp.networks.nature_dqn, warm_up_agent_steps=50
        ... )
        >>> task.build(seed=0)
        >>> task.start()
        >>> for _ in task.warm_up():
        ...     pass
        >>> task.next().observation.shape  # [batch, n_step + 1, height, width, stack]
        (32, 2, 84, 84, 4)
        >>> task.metrics()['train/agent_steps']
        54
        >>> task.close()
    """

    name = "atari"

    def __init__(
        self,
        game: str,
        agent: Callable[..., QAgent],
        network: Callable[..., keras.Model],
        *,
        protocol: AtariProtocol = AtariProtocol(),  # noqa: B008 (frozen)
        num_envs: int = 1,
        replay_capacity: int = 100_000,
        batch_size: int = 32,
        warm_up_agent_steps: int = 5_000,
        replay_ratio: float = 0.25,
        target_update_period: int = 7_500,
        epsilon: Callable[[int], float] = LinearEpsilon(),  # noqa: B008 (frozen)
        evaluation: Evaluation = Evaluation(),  # noqa: B008 (frozen)
        prioritization: Prioritization | None = None,
        diagnostics_batch_size: int = 128,
    ):
        check_instance("protocol", protocol, AtariProtocol, "@AtariProtocol()")
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
