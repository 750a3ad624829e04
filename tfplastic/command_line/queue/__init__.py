"""`make runs`: makes the runs of a queue, one after another, and commits each as it is finished."""

from tfplastic.command_line.queue.command import main

__all__ = ["main"]
