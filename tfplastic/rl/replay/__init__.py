"""Replay memories: frames on the host, tensors in the compiled program, and their files in a checkpoint."""

from tfplastic.rl.replay.frame_replay import FrameReplay
from tfplastic.rl.replay.graph_replay import GraphReplay

__all__ = ["FrameReplay", "GraphReplay"]
