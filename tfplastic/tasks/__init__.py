"""What a network is trained on."""

from tfplastic.tasks.host_task import HostTask

__all__ = ["HostTask"]
