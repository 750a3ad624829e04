"""Value-based agents on Atari, as a task of the training loop."""

from collections.abc import Callable

import gin

from tfplastic import _renames
from tfplastic._checks import check_instance
from tfplastic._keras import keras
from tfplastic._shared_arguments import shares_arguments
from tfplastic.rl.agents import QAgent
from tfplastic.rl.atari import AtariProtocol
from tfplastic.rl.playing.game_sequence import GameSequence
from tfplastic.rl.replay.settings import ReplaySettings
from tfplastic.rl.replay_task import ReplayTask


@gin.register(module="tfplastic.rl")
@_renames.accept_old_arguments("AtariTask")
class AtariTask(ReplayTask):
    """A TF-Agents value-based agent that acts, stores and samples on one Atari game.

    Agent steps and gradient steps keep `replay_ratio` exactly, whatever `num_envs` is: after gradient step s,
    warm_up + s / replay_ratio agent steps have been made, rounded up, or up to num_envs - 1 more.

    Args:
        game: ALE name, such as `'Breakout'`, or a `GameSequence` of them.
        agent: `dqn`, `double_dqn`, `c51`, `qr_dqn`, `two_hot_dqn` or `rainbow`.
        network: builder of the model; called with the number of outputs and `observation_shape`, `seed`.
        protocol: protocol of the emulator.
        num_envs: environments side by side. 1 in the paper.
        replay_capacity: steps kept. 100,000 in Lyle et al. 2023, appendix A.3.
        batch_size: examples per gradient step. 32 in DQN Zoo.
        warm_up_agent_steps: agent steps before the first gradient step. 5 % of the replay capacity in DQN
            Zoo.
        replay_ratio: gradient steps per agent step, at least 1e-9. 1/4 in the paper. Ratios of two integers,
            the smaller one up to 1,000, are exact.
        target_update_period: gradient steps between hard copies to the target network. 120,000 frames = 7,500
            gradient steps in DQN Zoo's `double_q`.
        settings: see `ReplaySettings`.

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

    @shares_arguments(ReplaySettings)
    def __init__(
        self,
        game: str | GameSequence,
        agent: Callable[..., QAgent],
        network: Callable[..., keras.Model],
        *,
        protocol: AtariProtocol = AtariProtocol(),  # noqa: B008 (frozen)
        settings: ReplaySettings,
    ):
        check_instance("protocol", protocol, AtariProtocol, "@AtariProtocol()")
        super().__init__(game, agent, network, protocol=protocol, **vars(settings))
