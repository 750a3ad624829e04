"""`make published`: published numbers next to ours. Nothing here imports TensorFlow."""

from tfplastic.command_line.published.command import main, planned

__all__ = ["main", "planned"]
