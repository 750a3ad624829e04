"""Value-based agents on MinAtar, as a task of the training loop."""

from collections.abc import Callable

import gin

from tfplastic._checks import check_instance
from tfplastic._keras import keras
from tfplastic._shared_arguments import shares_arguments
from tfplastic.rl.agents import QAgent
from tfplastic.rl.agents.acting import LinearEpsilon
from tfplastic.rl.minatar import MinAtarProtocol
from tfplastic.rl.playing.game_sequence import GameSequence
from tfplastic.rl.replay.settings import ReplaySettings
from tfplastic.rl.replay_task import ReplayTask


@gin.register(module="tfplastic.rl")
class MinAtarTask(ReplayTask):
    """A TF-Agents value-based agent that acts, stores and samples on one game of MinAtar.

    The defaults are those of Young and Tian 2019, table 1 and example `dqn.py`. An agent step is a frame.
    Agent steps and gradient steps keep `replay_ratio` exactly, whatever `num_envs` is: after gradient step s,
    warm_up + s / replay_ratio agent steps have been made, rounded up, or up to num_envs - 1 more.

    Args:
        game: `'asterix'`, `'breakout'`, `'freeway'`, `'seaquest'` or `'space_invaders'`, or a
            `GameSequence` of them.
        agent: `dqn`, `double_dqn`, `c51`, `qr_dqn`, `two_hot_dqn` or `rainbow`.
        network: builder of the model; called with the number of outputs and `observation_shape`, `seed`.
        protocol: protocol of the game.
        epsilon: function from agent steps since the warm-up to the probability of a random action. To
            0.1 over 100,000 frames in `dqn.py`.
        settings: see `ReplaySettings`.

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

    @shares_arguments(
        ReplaySettings,
        replay_ratio=1.0,
        target_update_period=1_000,
        epsilon=LinearEpsilon(decay_agent_steps=100_000),
    )
    def __init__(
        self,
        game: str | GameSequence,
        agent: Callable[..., QAgent],
        network: Callable[..., keras.Model],
        *,
        protocol: MinAtarProtocol = MinAtarProtocol(),  # noqa: B008 (frozen)
        settings: ReplaySettings,
    ):
        check_instance("protocol", protocol, MinAtarProtocol, "@MinAtarProtocol()")
        super().__init__(game, agent, network, protocol=protocol, **vars(settings))
