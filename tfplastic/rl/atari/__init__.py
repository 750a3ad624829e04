"""The Arcade Learning Environment (ALE): environment, games and human-normalized scores."""

from tfplastic.rl.atari.environment import AtariEnvironment, AtariProtocol

__all__ = ["AtariEnvironment", "AtariProtocol"]
