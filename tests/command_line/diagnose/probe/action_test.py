"""`bin/diagnose probe` on a tiny run and tiny models."""

import csv
import os
import pathlib
import shutil

import gin
import keras as keras_3
import numpy as np
import pytest
import tf_keras as keras_2

from tests.command_line.diagnose.tiny import (  # noqa: F401
    arrays,
    metrics,
    regression,
    train,
    tree,
    undisturbed,
)
from tfplastic.command_line import diagnose
from tfplastic.command_line import train as train_command
from tfplastic.probing import Probe

SMALL = ("--device=cpu", "--num_targets=2", "--num_steps=7", "--batch_size=4", "--baselines=2")
PROBED = (
    "train.probe = @Probe()",
    "train.probe_period = 2",
    "Probe.num_targets = 2",
    "Probe.num_steps = 7",
    "Probe.batch_size = 4",
    "Probe.baselines = 2",
    "Probe.num_inputs = 20",
    "train.keep_checkpoints = 3",
)
pytestmark = pytest.mark.usefixtures("undisturbed")


def read_csv(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def check_error(capsys, arguments, message):
    assert diagnose.main(["probe", *arguments, *SMALL]) == 2
    assert capsys.readouterr().err == f"bin/diagnose: error: {message}\n"
    assert not list(pathlib.Path().rglob("*.svg"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of six steps with a probe at each second, from which three checkpoints are kept."""
    path = tmp_path_factory.mktemp("runs") / "probed"
    train(path, 6, *PROBED)
    return path


class TestRunWithItsOwnProbe:
    def test_what_is_found_afterwards_is_what_the_run_found(self, run, capsys):
        path, before = run, tree(run)
        assert diagnose.main(["probe", f"--run_dir={path}", "--device=cpu"]) == 0
        after = tree(path)
        new = {"arrays/probe/checkpoints.npz", "arrays/probe/checkpoints.csv"}
        new |= {f"figures/probe/checkpoints.{kind}" for kind in ("png", "svg")}
        assert set(after) - set(before) == new and {name: after[name] for name in before} == before
        rows = read_csv(path / "arrays/probe/checkpoints.csv")
        measured = metrics(path)
        assert [row["step"] for row in rows] == ["2", "4", "6"]
        for row in rows:
            names = [name for name in row if name not in ("step", "verdict")]
            assert len(names) == 16
            for name in names:
                assert float(row[name]) == measured[int(row["step"]), f"probe/{name}"], name
        written = arrays(path / "arrays/probe/checkpoints.npz")
        for place, step in enumerate((2, 4, 6)):
            in_run = arrays(path / f"arrays/probe/curves/{step}.npz")
            np.testing.assert_array_equal(written["curves"][place], in_run["curves"])
            np.testing.assert_array_equal(written["fresh_curves"], in_run["fresh_curves"])
        assert written["curves"].shape == (3, 2, 7) and written["fresh_curves"].shape == (2, 2, 7)
        assert written["step"].tolist() == [2, 4, 6]
        assert (written["num_inputs"], written["batch_size"], written["seed"]) == (20, 4, 0)
        shown = capsys.readouterr().out
        plan = "probed: 2 targets on 20 inputs, 7 steps of 4, with 2 fresh networks; inputs of the run's own"
        assert plan in shown and "gradient step 6: final loss" in shown and "2 targets, 7 steps each" in shown
        assert f"wrote {path}/figures/probe/checkpoints.svg" in shown

    def test_a_probe_without_a_seed_has_that_of_the_run(self, tmp_path):
        path = tmp_path / "of_the_run"
        train(path, 2, *PROBED, "Probe.seed = None")
        assert diagnose.main(["probe", f"--run_dir={path}", "--device=cpu"]) == 0
        (row,) = read_csv(path / "arrays/probe/checkpoints.csv")
        assert float(row["final_loss"]) == metrics(path)[2, "probe/final_loss"]
        assert arrays(path / "arrays/probe/checkpoints.npz")["seed"] == 3

    def test_one_checkpoint_elsewhere_by_another_protocol(self, run, tmp_path):
        path, before = run, tree(run)
        more = ["--num_steps=5", "--seed=1", "--out=x/y"]
        assert diagnose.main(["probe", f"--run_dir={path}", "--checkpoint=4", *more, "--device=cpu"]) == 0
        assert tree(path) == before
        names = {f"4_probe.{kind}" for kind in ("npz", "csv", "png", "svg")}
        assert {file.name for file in (tmp_path / "x/y").iterdir()} == names
        written = arrays("x/y/4_probe.npz")
        assert written["curves"].shape == (1, 2, 5) and written["seed"] == 1
        in_run = arrays(path / "arrays/probe/curves/4.npz")
        assert not np.array_equal(written["curves"][0], in_run["curves"][:, :5])

    def test_the_same_bytes_twice(self, run):
        for name in "ab":
            arguments = [f"--run_dir={run}", "--checkpoint=6", f"--out={name}", "--device=cpu"]
            assert diagnose.main(["probe", *arguments]) == 0
        for kind in ("npz", "csv", "png", "svg"):
            first, same = (pathlib.Path(name, f"6_probe.{kind}") for name in "ab")
            assert first.read_bytes() == same.read_bytes()

    def test_a_run_that_has_kept_too_few_inputs(self, run, capsys):
        arguments = [f"--run_dir={run}", "--checkpoint=4", "--num_inputs=30", "--out=x", "--device=cpu"]
        assert diagnose.main(["probe", *arguments]) == 0
        assert "on 30 inputs" in capsys.readouterr().out
        assert arrays("x/4_probe.npz")["num_inputs"] == 30

    def test_a_checkpoint_that_the_run_removes_meanwhile_is_left_out(self, run, capsys, monkeypatch):
        copy = pathlib.Path("copy")
        shutil.copytree(run, copy)
        measure = Probe.measure

        def removing(self, *arguments):
            shutil.rmtree(copy / "checkpoints/step_000000000004", ignore_errors=True)
            return measure(self, *arguments)

        monkeypatch.setattr(Probe, "measure", removing)
        assert diagnose.main(["probe", "--run_dir=copy", "--device=cpu"]) == 0
        assert "gradient step 4: the run has removed its checkpoint" in capsys.readouterr().out
        assert arrays("copy/arrays/probe/checkpoints.npz")["step"].tolist() == [2, 6]


def test_a_run_without_a_probe_of_its_own(capsys):
    train(pathlib.Path("plain"), 4)
    assert diagnose.main(["probe", "--run_dir=plain", "--num_inputs=20", *SMALL]) == 0
    assert "inputs drawn at gradient step 2" in capsys.readouterr().out
    train(pathlib.Path("probed"), 4, *PROBED)
    rows = read_csv("plain/arrays/probe/checkpoints.csv")
    measured = metrics(pathlib.Path("probed"))
    assert float(rows[-1]["final_loss"]) == measured[4, "probe/final_loss"]


def test_a_task_in_memory(tmp_path, capsys):
    bindings = [
        "train.total_steps = 4",
        "train.compiler = 'graph'",
        "train.diagnostics = []",
        "mlp.hidden = (4,)",
        "RandomLabelTask.num_examples = 30",
        "RandomLabelTask.batch_size = 8",
    ]
    flags = [f"--gin_bindings={binding}" for binding in bindings]
    run = f"--run_dir={tmp_path / 'labels'}"
    assert train_command.main(["--gin_file=gin/random_labels_digits.gin", *flags, run, "--device=cpu"]) == 0
    gin.clear_config()
    assert diagnose.main(["probe", run, "--targets=random_labels", *SMALL]) == 0
    assert "on 30 inputs" in capsys.readouterr().out
    written = arrays(tmp_path / "labels/arrays/probe/checkpoints.npz")
    assert written["target_variances"].max() < np.log(10)  # entropies of 30 labels of 10 classes


def test_a_run_that_is_none(capsys):
    check_error(
        capsys, ["--run_dir=none"], "--run_dir: no such directory 'none'. Name the directory of a run"
    )


@pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
class TestModel:
    def test_with_the_optimizer_of_its_training(self, keras, capsys):
        regression(keras, "linear.keras", optimizer=keras.optimizers.SGD(0.1, momentum=0.9))
        assert diagnose.main(["probe", "--model=linear.keras", "--data=data.npz", *SMALL]) == 0
        assert "linear.keras: 2 targets on 10 inputs, 7 steps of 4" in capsys.readouterr().out
        assert os.environ["TF_USE_LEGACY_KERAS"] == ("1" if keras is keras_2 else "0")
        model = keras.models.load_model("linear.keras", compile=False)
        inputs = arrays("data.npz")["x"].astype(np.float32)
        probe = Probe(num_targets=2, num_steps=7, batch_size=4, baselines=2)
        expected = probe.measure(model, inputs, keras.optimizers.SGD(0.1, momentum=0.9))
        written = arrays("linear_probe.npz")
        np.testing.assert_array_equal(written["curves"], expected.curves[None])
        np.testing.assert_array_equal(written["fresh_curves"], expected.fresh.curves)
        (row,) = read_csv("linear_probe.csv")
        assert (row["step"], row["verdict"]) == ("-1", expected.verdict)
        assert pathlib.Path("linear_probe.png").read_bytes().startswith(b"\x89PNG")
        assert pathlib.Path("linear_probe.svg").read_text().startswith("<?xml")

    def test_with_another_optimizer(self, keras):
        regression(keras, "linear.keras")
        found = []
        for number, more in enumerate((["--optimizer=adam"], ["--optimizer=adam", "--learning_rate=0.1"])):
            arguments = ["--model=linear.keras", "--data=data.npz", *more, f"--out={number}"]
            assert diagnose.main(["probe", *arguments, *SMALL]) == 0
            found.append(arrays(f"{number}/linear_probe.npz")["curves"])
        assert found[0][0, 0, 0] == found[1][0, 0, 0] and found[0][0, 0, -1] != found[1][0, 0, -1]

    def test_an_optimizer_that_is_none(self, keras, capsys):
        regression(keras, "linear.keras")
        model = ["--model=linear.keras", "--data=data.npz"]
        check_error(capsys, model, "--optimizer must be given: 'linear.keras' was saved without one")
        rule = "--optimizer must be the name of a Keras optimizer"
        near = f"{rule}. Received: 'rmspro'. Did you mean 'rmsprop'?"
        check_error(capsys, [*model, "--optimizer=rmspro"], near)

    def test_data(self, keras, capsys):
        regression(keras, "linear.keras")
        model = ["--model=linear.keras", "--data=data.npz", "--optimizer=sgd"]
        rule = "--num_inputs must be at most 10, all of --data"
        check_error(capsys, [*model, "--num_inputs=11"], f"{rule}. Received: 11")
        np.savez("data.npz", z=np.ones(3))
        check_error(capsys, model, "--data must have the array x, or x_train. Received: z")

    def test_logits_over_bins(self, keras, capsys):
        layers = [keras.layers.InputLayer((5,)), keras.layers.Dense(6), keras.layers.Reshape((2, 3))]
        keras.Sequential(layers).save("bins.keras")
        regression(keras, "linear.keras")
        model = ["--model=bins.keras", "--data=data.npz", "--optimizer=sgd"]
        rule = "--value_range must be given for outputs of shape [examples, 2, 3], logits over bins of values"
        check_error(capsys, model, rule)
        assert diagnose.main(["probe", *model, "--value_range=-2,2", *SMALL]) == 0
        assert 0.2 < arrays("bins_probe.npz")["target_variances"].mean() < 0.8  # of sines
        rule = "--value_range goes with a network whose outputs are of shape [examples, outputs, bins]"
        linear = ["--model=linear.keras", "--data=data.npz", "--optimizer=sgd", "--value_range=-2,2"]
        assert diagnose.main(["probe", *linear, *SMALL]) == 2
        assert f"{rule}. Received: [examples, 1]\n" in capsys.readouterr().err


def test_a_network_that_cannot_be_probed(capsys):
    """Whose initial weights are constants, so that there is no fresh one."""
    ones = keras_2.layers.Dense(1, kernel_initializer="ones", use_bias=False)
    keras_2.Sequential([keras_2.layers.InputLayer((5,)), ones]).save("ones.keras")
    regression(keras_2, "linear.keras")
    arguments = ["--model=ones.keras", "--data=data.npz", "--optimizer=sgd"]
    assert diagnose.main(["probe", *arguments, *SMALL]) == 2
    shown = capsys.readouterr().err
    assert (
        shown.startswith("bin/diagnose: error: this cannot be probed: `model` must")
        and shown.count("\n") == 1
    )
