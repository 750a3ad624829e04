"""Evaluation of a policy on a fresh environment."""

import dataclasses
from collections.abc import Callable

import gin
import numpy as np

from tfplastic import seeds
from tfplastic._checks import check_fits_in_memory, check_fraction, check_positive_integer
from tfplastic.rl.agents.acting import epsilon_greedy
from tfplastic.rl.atari.scores import human_normalized_score, reference_scores
from tfplastic.rl.playing.game_protocol import GameProtocol

EMULATOR_BYTES = 1_000_000
"""Memory of one emulated console, by measurement."""


@gin.register(module="tfplastic.rl")
@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Evaluation by whole episodes with a nearly greedy policy.

    DQN Zoo evaluates for 500,000 frames after each million frames of training; a fixed number of episodes is
    used here because its mean has a standard error. Each of the `num_envs` environments plays its share of
    the episodes, so that short episodes are not over-represented.

    Attributes:
        num_episodes: episodes in one evaluation.
        epsilon: probability of a random action. 0.01 in DQN Zoo's `double_q`.
        num_envs: environments side by side; at most `num_episodes` are used.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> from tfplastic.rl import AtariProtocol, Evaluation
        >>> half_a_minute = AtariProtocol(max_frames_per_episode=1_800)
        >>> evaluation = Evaluation(num_episodes=2, epsilon=0.0)
        >>> evaluation(lambda observation: [0] * len(observation), 'Freeway', half_a_minute, seed=0)
        array([0., 0.])
    """

    num_episodes: int = 30
    epsilon: float = 0.01
    num_envs: int = 8

    def __post_init__(self) -> None:
        check_positive_integer("num_episodes", self.num_episodes)
        check_fraction("epsilon", self.epsilon)
        check_positive_integer("num_envs", self.num_envs)
        largest = max(("num_episodes", "num_envs"), key=lambda name: getattr(self, name))
        num_envs = min(self.num_envs, self.num_episodes)
        check_fits_in_memory(largest, getattr(self, largest), num_envs * EMULATOR_BYTES)

    def __call__(
        self,
        greedy_actions: Callable[[np.ndarray], np.ndarray],
        game: str,
        protocol: GameProtocol,
        seed: int,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> np.ndarray | None:
        """Plays `num_episodes` episodes.

        Args:
            greedy_actions: function that maps `[batch, height, width, stack] uint8` to `[batch] int`.
            game: name of the game.
            protocol: protocol of the game, such as an `AtariProtocol`.
            seed: seed of the episodes and of the random actions; same seed and policy, same returns.
            should_stop: function that is called after each step; if it returns True, the evaluation ends
                without a result.

        Returns:
            `[num_episodes] float64` unclipped returns, or None if stopped.
        """
        num_envs = min(self.num_envs, self.num_episodes)
        shares = np.full(num_envs, self.num_episodes // num_envs)
        shares[: self.num_episodes % num_envs] += 1
        environment = protocol.make_environment(game, num_envs, seeds.derive_integer(seed, "episodes"))
        try:
            returns: list[list[float]] = [[] for _ in range(num_envs)]
            num_actions = int(environment.action_spec().maximum) + 1
            time_step = environment.reset()
            step = 0
            while any(len(played) < share for played, share in zip(returns, shares, strict=True)):
                if should_stop():
                    return None
                key = seeds.derive(seed, "act", step)
                actions = epsilon_greedy(
                    greedy_actions, time_step.observation, self.epsilon, num_actions, key
                )
                time_step = environment.step(actions)
                step += 1
                ended = np.flatnonzero(time_step.is_last())
                for env, episode in zip(ended, environment.pop_finished_episodes(), strict=True):
                    returns[env].append(episode.episode_return)
        finally:
            environment.close()
        return np.concatenate([played[:share] for played, share in zip(returns, shares, strict=True)])


def scalars_of_returns(returns: np.ndarray, game: str) -> dict[str, float]:
    """Returns the metrics of an evaluation's episodes, by tag.

    Args:
        returns: `[episodes] float64`, at least one.
        game: ALE name, for the human-normalized score where it is known.

    Example:
        >>> import numpy as np
        >>> from tfplastic.rl.playing.evaluation import scalars_of_returns
        >>> scalars_of_returns(np.array([20.0, 22.0]), 'Pong')['evaluation/episode_return_stderr']
        1.0
    """
    mean = float(np.mean(returns))
    scalars = {"evaluation/episode_return": mean, "evaluation/episodes": len(returns)}
    if len(returns) > 1:
        scalars["evaluation/episode_return_stderr"] = float(np.std(returns, ddof=1) / len(returns) ** 0.5)
    if game in reference_scores():
        scalars["evaluation/human_normalized_score"] = human_normalized_score(game, mean)
    return scalars
