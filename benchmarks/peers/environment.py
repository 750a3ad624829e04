"""Atari for the peers: gymnasium's own preprocessing, faster than the wrappers that SB3 brings along."""

import ale_py
import gymnasium
from gymnasium.wrappers import AtariPreprocessing


def make_atari(channel_axis: bool) -> gymnasium.Env:
    """Breakout: 84 x 84 gray, action repeat 4, maximum over 2 frames, up to 30 no-ops, no sticky actions.

    Args:
        channel_axis: whether a frame is `[84, 84, 1]` rather than `[84, 84]` uint8.
    """
    gymnasium.register_envs(ale_py)
    environment = gymnasium.make("ALE/Breakout-v5", frameskip=1, repeat_action_probability=0.0)
    return AtariPreprocessing(environment, noop_max=30, frame_skip=4, grayscale_newaxis=channel_axis)
