"""Games of one kind with one space of actions and one of observations, so that one network plays them all."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from tf_agents.specs import array_spec
from tf_agents.trajectories import time_step as ts

from tfplastic.rl.playing.game_protocol import GameEnvironment, GameProtocol


class SharedSpaces(GameProtocol):
    """The protocol of several games, each of which has the channels of all and offers the actions of all.

    Action i is the i-th of the union of the games' action sets, in the order of the numbers that their
    console gives them; without `shared_actions`, it is the i-th of the game's own set. An action that a
    game's own set lacks does in it whatever the console does. Channels that a game's own observations lack
    are zeros.

    Args:
        protocol: protocol of each game.
        games: names of the games.
        shared_actions: whether each game offers the actions of all, or its own alone.

    Raises:
        ValueError: if the games' frames have other sizes, or a game has no such action.

    Example:
        >>> from tfplastic.rl import MinAtarProtocol
        >>> from tfplastic.rl.playing.shared_spaces import SharedSpaces
        >>> few = MinAtarProtocol(full_action_set=False)
        >>> few.action_set('breakout'), few.action_set('freeway')
        ((0, 1, 3), (0, 2, 4))
        >>> both = SharedSpaces(few, ['breakout', 'freeway'])
        >>> both.num_actions('breakout'), both.frame_shape('breakout')
        (5, (10, 10, 7))
    """

    def __init__(self, protocol: GameProtocol, games: Sequence[str], *, shared_actions: bool = True):
        self.action_repeat, self.stack_size = protocol.action_repeat, protocol.stack_size
        self.own = protocol
        self._all_actions = protocol.with_all_actions()
        self._actions = {game: np.unique(protocol.action_set(game)) for game in games}
        if shared_actions:
            union = np.unique(np.concatenate([*self._actions.values()]))
            self._actions = dict.fromkeys(games, union)
        for game, actions in self._actions.items():
            if (count := self._all_actions.num_actions(game)) <= actions[-1]:
                rule = f"must have actions up to number {actions[-1]}, the largest in use"
                raise ValueError(f"`GameSequence.games` {rule}. Received: {game!r}, which has {count}")
        shapes = [protocol.frame_shape(game) for game in games]
        sizes = {game: shape[:2] for game, shape in zip(games, shapes, strict=True)}
        if len(set(sizes.values())) > 1 or len({len(shape) for shape in shapes}) > 1:
            raise ValueError(f"`GameSequence.games` must have frames of one size. Received: {sizes}")
        self._frame_shape = max(shapes)

    def check_game(self, game: str) -> str:
        return self.own.check_game(game)

    def num_actions(self, game: str) -> int:
        return len(self._actions[game])

    def frame_shape(self, game: str) -> tuple[int, ...]:
        return self._frame_shape

    def make_environment(self, game: str, num_envs: int, seed: int) -> GameEnvironment:
        environment = self._all_actions.make_environment(game, num_envs, seed)
        return _InSharedSpaces(environment, self._actions[game], self.observation_shape(game)[2])

    def too_small_error(self, smallest: int) -> ValueError:
        return self.own.too_small_error(smallest)


class _InSharedSpaces:
    """An environment of all actions that offers some of them, with channels of zeros after its own."""

    def __init__(self, environment: GameEnvironment, actions: np.ndarray, channels: int):
        self._environment = environment
        self._actions, self._channels = actions, channels

    def action_spec(self) -> Any:
        return array_spec.BoundedArraySpec((), np.int32, 0, len(self._actions) - 1, name="action")

    def reset(self) -> ts.TimeStep:
        return self._padded(self._environment.reset())

    def current_time_step(self) -> ts.TimeStep:
        return self._padded(self._environment.current_time_step())

    def step(self, action: np.ndarray) -> ts.TimeStep:
        return self._padded(self._environment.step(self._actions[action]))

    def pop_finished_episodes(self) -> list[Any]:
        return self._environment.pop_finished_episodes()

    def get_state(self) -> dict[str, np.ndarray]:
        return self._environment.get_state()

    def set_state(self, state: dict[str, np.ndarray]) -> Any:
        return self._padded(self._environment.set_state(state))

    def close(self) -> None:
        self._environment.close()

    def _padded(self, time_step: ts.TimeStep) -> ts.TimeStep:
        own: Any = time_step.observation
        if own.shape[-1] == self._channels:
            return time_step
        observation = np.zeros((*own.shape[:-1], self._channels), own.dtype)
        observation[..., : own.shape[-1]] = own
        return time_step._replace(observation=observation)
