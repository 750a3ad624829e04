"""The Arcade Learning Environment (ALE): environment, games and human-normalized scores."""

from tfplastic import _renames
from tfplastic.rl.atari.environment import AtariEnvironment, AtariProtocol

__all__ = ["AtariEnvironment", "AtariProtocol"]

__getattr__ = _renames.module_getattr(__name__)
