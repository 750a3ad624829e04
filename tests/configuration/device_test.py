import os

import pytest
import tensorflow as tf

from tfplastic.configuration import device
from tfplastic.configuration.errors import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("auto", ("auto", 0)),
        ("cpu", ("cpu", 0)),
        ("gpu", ("gpu", 0)),
        ("gpu:0", ("gpu", 0)),
        ("gpu:12", ("gpu", 12)),
    ],
)
def test_parse(text, expected):
    assert device.parse(text) == expected


@pytest.mark.parametrize("text", ["", "GPU", "gpu:", "gpu:-1", "gpu:a", "cpu:0", "auto:1", "tpu"])
def test_malformed(text):
    with pytest.raises(UsageError) as caught:
        device.parse(text)
    assert str(caught.value) == (
        f"--device must be auto, cpu, gpu or gpu:I with an integer I. Received: {text!r}"
    )


class FakeTensorFlow:
    """Records the calls of `tf.config`, on a machine with `gpus` GPUs."""

    def __init__(self, monkeypatch, gpus):
        self.gpus = [f"gpu {index}" for index in range(gpus)]
        self.visible = self.growing = None
        self.deterministic = False
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: self.gpus)
        monkeypatch.setattr(tf.config, "set_visible_devices", self.set_visible)
        monkeypatch.setattr(tf.config.experimental, "set_memory_growth", self.set_growth)
        monkeypatch.setattr(
            tf.config.experimental, "get_device_details", lambda gpu: {"device_name": f"Model of {gpu}"}
        )
        monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", self.set_deterministic)

    def set_visible(self, devices, kind):
        assert kind == "GPU"
        self.visible = devices

    def set_growth(self, gpu, grows):
        self.growing = (gpu, grows)

    def set_deterministic(self):
        self.deterministic = True


@pytest.mark.parametrize(("text", "index"), [("auto", 0), ("gpu", 0), ("gpu:1", 1)])
def test_gpu_is_the_only_one_visible_and_grows(monkeypatch, text, index):
    fake = FakeTensorFlow(monkeypatch, gpus=2)
    assert device.select(text) == f"GPU {index} (Model of gpu {index})"
    assert fake.visible == [f"gpu {index}"]
    assert fake.growing == (f"gpu {index}", True)
    assert not fake.deterministic


@pytest.mark.parametrize(("text", "gpus"), [("cpu", 2), ("cpu", 0), ("auto", 0)])
def test_cpu_hides_the_gpus(monkeypatch, text, gpus):
    fake = FakeTensorFlow(monkeypatch, gpus)
    name = device.select(text, deterministic=True)
    cores = len(os.sched_getaffinity(0))
    assert name.startswith(f"CPU ({cores} core") and name.endswith(")")
    assert fake.visible == [] and fake.growing is None
    assert fake.deterministic


def test_no_gpu(monkeypatch):
    fake = FakeTensorFlow(monkeypatch, gpus=0)
    with pytest.raises(
        UsageError, match="^--device=gpu: TensorFlow finds no GPU. `make train GPU=1` installs"
    ):
        device.select("gpu")
    assert fake.visible is None


def test_too_few_gpus(monkeypatch):
    FakeTensorFlow(monkeypatch, gpus=2)
    with pytest.raises(UsageError) as caught:
        device.select("gpu:2")
    assert (
        str(caught.value)
        == "--device=gpu:2: TensorFlow finds only 2 GPUs, numbered from 0. Give a lower number"
    )


def test_real_cpu_is_selected():
    device.select("cpu")
    assert tf.config.get_visible_devices("GPU") == []
