"""Tasks: data, targets and losses that a network is trained on."""

from tfplastic import _renames
from tfplastic.tasks.classification_mdp import (
    ClassificationMdp,
    random_label_mdp,
    sparse_reward_mdp,
    true_label_mdp,
)
from tfplastic.tasks.datasets import Dataset, choose_examples, load_dataset, scale_pixels
from tfplastic.tasks.graph_task import GraphTask, State
from tfplastic.tasks.host_task import HostTask, TaskProgress
from tfplastic.tasks.image_stream import ImageStream
from tfplastic.tasks.random_label_task import RandomLabelTask
from tfplastic.tasks.replicated_stream import ReplicatedStream
from tfplastic.tasks.stream_parts.accuracy import (
    average_online_accuracy,
    end_of_task_accuracy,
    online_accuracy,
)
from tfplastic.tasks.stream_parts.data_batches import DataBatches
from tfplastic.tasks.stream_parts.objectives import CLASSIFICATION, REGRESSION, Objective
from tfplastic.tasks.stream_parts.schedules import (
    chosen_examples,
    class_order,
    epoch_order,
    pixel_order,
    random_labels,
    shuffled_labels,
)
from tfplastic.tasks.stream_parts.stream_state import StreamBatch, StreamState
from tfplastic.tasks.streams.class_split import ClassSplit
from tfplastic.tasks.streams.gradual_drift import GradualDrift
from tfplastic.tasks.streams.offset_regression import OffsetRegression
from tfplastic.tasks.streams.partial_label_reset import PartialLabelReset
from tfplastic.tasks.streams.permuted_labels import PermutedLabels
from tfplastic.tasks.streams.permuted_pixels import PermutedPixels
from tfplastic.tasks.streams.random_network_regression import RandomNetworkRegression
from tfplastic.tasks.streams.slowly_changing_regression import SlowlyChangingRegression
from tfplastic.tasks.streams.two_input_regression import TwoInputRegression
from tfplastic.tasks.streams.warm_start import WarmStart
from tfplastic.tasks.supervised_stream import SupervisedStream
from tfplastic.tasks.task_loss import TaskLoss

__all__ = [
    "CLASSIFICATION",
    "REGRESSION",
    "ClassSplit",
    "ClassificationMdp",
    "DataBatches",
    "Dataset",
    "GradualDrift",
    "GraphTask",
    "HostTask",
    "ImageStream",
    "Objective",
    "OffsetRegression",
    "PartialLabelReset",
    "PermutedLabels",
    "PermutedPixels",
    "RandomLabelTask",
    "RandomNetworkRegression",
    "ReplicatedStream",
    "SlowlyChangingRegression",
    "State",
    "StreamBatch",
    "StreamState",
    "SupervisedStream",
    "TaskLoss",
    "TaskProgress",
    "TwoInputRegression",
    "WarmStart",
    "average_online_accuracy",
    "choose_examples",
    "chosen_examples",
    "class_order",
    "end_of_task_accuracy",
    "epoch_order",
    "load_dataset",
    "online_accuracy",
    "pixel_order",
    "random_label_mdp",
    "random_labels",
    "scale_pixels",
    "shuffled_labels",
    "sparse_reward_mdp",
    "true_label_mdp",
]

__getattr__ = _renames.module_getattr(__name__)
