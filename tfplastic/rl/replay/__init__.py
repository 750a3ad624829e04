"""Replay memories: frames on the host, tensors in the compiled program, and their files in a checkpoint."""

from tfplastic.rl.replay.frame_replay import FrameReplay
from tfplastic.rl.replay.graph_replay import GraphReplay
from tfplastic.rl.replay.prioritization import Prioritization
from tfplastic.rl.replay.prioritized_replay import PrioritizedReplay

__all__ = ["FrameReplay", "GraphReplay", "PrioritizedReplay", "Prioritization"]
