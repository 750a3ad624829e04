"""Acting: epsilon-greedy as a function of Q-values and a key.

TF-Agents' own epsilon-greedy policy draws from TensorFlow's global generator, whose state no checkpoint
holds; here the draws of an agent step depend on its key alone.
"""

import dataclasses
from collections.abc import Callable

import gin
import numpy as np

from tfplastic import seeds
from tfplastic._checks import check_fraction, check_integer


def epsilon_greedy(
    greedy_actions: Callable[[np.ndarray], np.ndarray],
    observation: np.ndarray,
    epsilon: float,
    num_actions: int,
    key: np.ndarray,
) -> np.ndarray:
    """Draws actions, row by row uniformly random with probability epsilon and greedy otherwise.

    Args:
        greedy_actions: function that maps `observation` to `[batch] int`; not called where every row
            explores.
        observation: `[batch, ...]`.
        epsilon: probability of a random action, in [0, 1].
        num_actions: random actions are uniform over 0 .. num_actions - 1.
        key: `[2] int32`; the same key gives the same draws.

    Returns:
        `[batch] int32`.

    Example:
        >>> import numpy as np
        >>> from tfplastic import seeds
        >>> from tfplastic.rl.agents.acting import epsilon_greedy
        >>> greedy = lambda observation: np.full(len(observation), 2)
        >>> epsilon_greedy(greedy, np.zeros([3, 4]), 0.0, 6, seeds.derive(0, 'act')).tolist()
        [2, 2, 2]
    """
    generator = seeds.generator(key)
    explores = generator.random(len(observation)) < epsilon
    actions = generator.integers(num_actions, size=len(observation), dtype=np.int32)
    if not explores.all():
        actions = np.where(explores, actions, greedy_actions(observation)).astype(np.int32)
    return actions


@gin.register(module="tfplastic.rl")
@dataclasses.dataclass(frozen=True)
class LinearEpsilon:
    """epsilon falls linearly from `begin` to `end` over `decay_agent_steps` after the end of the warm-up.

    Attributes:
        begin: epsilon during the warm-up and at its end. 1 in DQN Zoo.
        end: epsilon from then on. 0.1 in Lyle et al. 2023, appendix A.3.
        decay_agent_steps: 1,000,000 agent steps = 4M frames = 2 % of 200M frames in DQN Zoo.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> from tfplastic.rl.agents.acting import LinearEpsilon
        >>> epsilon = LinearEpsilon(begin=1.0, end=0.5, decay_agent_steps=100)
        >>> epsilon(-7), epsilon(50), epsilon(1_000)
        (1.0, 0.75, 0.5)
    """

    begin: float = 1.0
    end: float = 0.1
    decay_agent_steps: int = 1_000_000

    def __post_init__(self) -> None:
        check_fraction("begin", self.begin)
        check_fraction("end", self.end)
        check_integer("decay_agent_steps", self.decay_agent_steps)

    def __call__(self, agent_steps: int) -> float:
        """Returns epsilon after `agent_steps` agent steps since the warm-up (0 or less during it)."""
        if agent_steps <= 0:
            return self.begin
        if agent_steps >= self.decay_agent_steps:
            return self.end
        return self.begin + (self.end - self.begin) * agent_steps / self.decay_agent_steps
