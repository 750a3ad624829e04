"""What a network is trained on."""

from tfplastic.tasks.accuracy import average_online_accuracy, end_of_task_accuracy, online_accuracy
from tfplastic.tasks.datasets import Dataset, choose_examples, load_dataset, scale_pixels
from tfplastic.tasks.graph_task import GraphTask, State, TaskLoss
from tfplastic.tasks.host_task import HostTask, TaskProgress
from tfplastic.tasks.schedules import epoch_order, random_labels, shuffled_labels

__all__ = [
    "Dataset",
    "GraphTask",
    "HostTask",
    "State",
    "TaskLoss",
    "TaskProgress",
    "average_online_accuracy",
    "choose_examples",
    "end_of_task_accuracy",
    "epoch_order",
    "load_dataset",
    "online_accuracy",
    "random_labels",
    "scale_pixels",
    "shuffled_labels",
]
