"""What a network is trained on."""

from tfplastic.tasks.host_task import HostTask, TaskProgress

__all__ = ["HostTask", "TaskProgress"]
