"""The real program on the real emulator: stopped or killed and resumed, a run ends as if it had not been."""

import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time

import gin
import numpy as np
import pytest
import tensorflow as tf

from tfplastic import seeds
from tfplastic.command_line import train
from tfplastic.rl import FrameReplay

ROOT = pathlib.Path(__file__).resolve().parent.parent
COMMAND = (sys.executable, str(ROOT / "bin" / "train"), "--gin_file=gin/atari_dqn_ln.gin")
COMMAND += ("--gin_file=gin/sizes/quick.gin", "--device=cpu")
SMALL = (
    "train.total_steps = 60",
    "train.log_period = 10",
    "train.diagnostics_period = 30",
    "train.diagnostics = [@dead_units, @dormant_units, @weight_norm, @gradient_norm]",  # not the sharpness
    "train.checkpoint_period = 20",
    "AtariTask.warm_up_agent_steps = 200",
    "AtariTask.replay_capacity = 400",  # 440 agent steps, so that the ring wraps around
    "AtariTask.target_update_period = 15",
    "AtariTask.diagnostics_batch_size = 8",
    "LinearEpsilon.decay_agent_steps = 100",
    "Evaluation.num_episodes = 2",
    "AtariProtocol.max_frames_per_episode = 240",
    "AtariTask.batch_size = 8",
    "nature_dqn.width = 0.1",
)


def start(run_dir, bindings=()):
    arguments = [*COMMAND, f"--run_dir={run_dir}", *(f"--gin_bindings={binding}" for binding in bindings)]
    hidden = ("TF_USE_LEGACY_KERAS", "TF_CPP_MIN_LOG_LEVEL", "CUDA_VISIBLE_DEVICES")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    return subprocess.Popen(
        arguments,
        cwd=run_dir.parent,
        env=environment,  # as a user has it
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run_here(run_dir, bindings):
    """The same program in this process, which has imported TensorFlow already."""
    arguments = ["--gin_file=gin/atari_dqn_ln.gin", "--gin_file=gin/sizes/quick.gin", "--device=cpu"]
    try:
        code = train.main([*arguments, f"--run_dir={run_dir}", *map("--gin_bindings={}".format, bindings)])
    finally:
        gin.clear_config()
    assert code == 0


def finish(process):
    output, _ = process.communicate(timeout=1200)
    assert process.returncode == 0, output
    return output


def wait_for(path, process):
    while not path.exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)


def newest_step(run_dir):
    """Gradient step of the newest complete checkpoint, 0 if there is none."""
    manifests = sorted(run_dir.glob("checkpoints/step_*/manifest.json"))
    return int(manifests[-1].parent.name.removeprefix("step_")) if manifests else 0


def final_state(run_dir, capacity):
    """Everything a run ends with, in a form that compares bit for bit."""
    (checkpoint,) = sorted(run_dir.glob("checkpoints/step_*"))[-1:]
    reader = tf.train.load_checkpoint(str(checkpoint / "variables"))
    state = {
        name: reader.get_tensor(name).tobytes()
        for name in reader.get_variable_to_shape_map()
        if "OBJECT" not in name
    }
    for path in checkpoint.glob("*.npz"):
        with np.load(path) as arrays:
            state |= {f"{path.name}/{name}": array.tobytes() for name, array in arrays.items()}
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    replay = FrameReplay(capacity)
    replay.restore(run_dir / "checkpoints/shared", manifest["shared_files"])
    sample = replay.sample(2_000, seeds.derive(0, "compare"))
    state |= {
        f"replay/{name}": array.tobytes() for name, array in sample._asdict().items() if name != "policy_info"
    }
    state["replay/size"] = (replay.num_frames(), replay.num_transitions)
    state["task"] = (checkpoint / "task.json").read_text()
    state["metrics"] = (run_dir / "metrics.csv").read_text()
    return state


def assert_equal(state, other):
    assert state.keys() == other.keys()
    assert [name for name in state if state[name] != other[name]] == []


def test_sigterm_and_resume(tmp_path):
    run_here(tmp_path / "whole", SMALL)

    process = start(tmp_path / "parts", SMALL)
    wait_for(tmp_path / "parts/checkpoints/step_000000000020/manifest.json", process)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 143, output
    assert "Run the same command again to resume" in output
    assert not re.search(r"^[EIW]\d{4} |oneDNN|[Cc]uda|unmaintained|Warning|WARNING", output, re.MULTILINE), (
        output
    )
    assert json.loads((tmp_path / "parts/status.json").read_text())["state"] == "stopped"
    run_here(tmp_path / "parts", SMALL)

    assert_equal(final_state(tmp_path / "whole", 400), final_state(tmp_path / "parts", 400))


@pytest.mark.slow
def test_killed_five_times_and_resumed(tmp_path):
    """The quick size with more frequent checkpoints; each kill comes some time after a new checkpoint."""
    bindings = ("train.checkpoint_period = 50",)
    finish(start(tmp_path / "whole", bindings))
    moments, reached = random.Random(0), []
    for _ in range(5):
        process = start(tmp_path / "parts", bindings)
        while newest_step(tmp_path / "parts") <= max(reached, default=0):
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.05)
        time.sleep(moments.uniform(0, 12))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL  # it had not ended before
        reached.append(newest_step(tmp_path / "parts"))
    assert reached == sorted(set(reached))
    output = finish(start(tmp_path / "parts", bindings))
    assert f"Resumed at gradient step {reached[-1]}." in output
    assert_equal(final_state(tmp_path / "whole", 20_000), final_state(tmp_path / "parts", 20_000))
