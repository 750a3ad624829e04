"""`bin/diagnose report` on a tiny run and tiny models."""

import csv
import json
import pathlib
import re
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
from tfplastic import diagnostics
from tfplastic.command_line import diagnose
from tfplastic.command_line import train as train_command
from tfplastic.diagnostics.diagnose import quantities_of_budget

MEASURED = (
    "train.diagnostics = [@dead_units, @gradient_norm, @update_ratio, @distance_from_init, @churn]",
    "train.keep_checkpoints = 3",
)
pytestmark = pytest.mark.usefixtures("undisturbed")


def read_csv(path):
    """{(step, quantity, layer): value}."""
    with open(path, newline="") as file:
        rows = [(*row.values(),) for row in csv.DictReader(file)]
    assert len(rows) == len({row[:3] for row in rows})
    return {(int(step), quantity, layer): float(value) for step, quantity, layer, value in rows}


def names(path):
    return {str(file.relative_to(path)) for file in pathlib.Path(path).rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of six steps with diagnostics at each second, from which three checkpoints are kept."""
    path = tmp_path_factory.mktemp("runs") / "measured"
    train(path, 6, *MEASURED)
    return path


class TestRun:
    def test_along_the_run_is_what_it_measured_itself(self, run, capsys):
        before = tree(run)
        assert diagnose.main(["report", f"--run_dir={run}", "--all_checkpoints", "--device=cpu"]) == 0
        after = tree(run)
        assert {name: after[name] for name in before} == before
        written = read_csv(run / "arrays/report/checkpoints.csv")
        assert {step for step, _, _ in written} == {2, 4, 6}
        shared = 0
        for (step, tag), value in metrics(run).items():
            kind, _, rest = tag.partition("/")
            if kind == "diagnostics" and step:
                assert written[step, *rest.split("/")] == value, tag
                shared += 1
        assert shared == 3 * (1 + 3 + 3 + 3 + 1)  # of a hidden layer, of two layers and all, and of all
        shown = capsys.readouterr().out
        assert "measured, gradient step 4: medium budget on 8 examples" in shown
        assert shown.count("dead_units") == 1
        assert set(re.findall("Left out: ([^:]*)", shown)) <= {"effective_learning_rate", "output"}
        for step in (2, 4, 6):
            own = read_csv(run / f"arrays/report/{step}.csv")
            np.testing.assert_equal(own, {key: value for key, value in written.items() if key[0] == step})
            assert {f"arrays/report/{step}.{kind}" for kind in ("json", "npz")} <= set(after)
        assert f"wrote {run}/arrays/report/4.npz\n" in shown
        assert f" figures, {run}/figures/report/checkpoints_*.png and .svg\n" in shown
        kinds = {"units", "weights", "gradients", "changes", "next_update"}
        kinds |= {"feature_ranks", "weight_ranks", "pre_activations"}
        for kind in kinds:
            for ending in ("png", "svg"):
                assert f"figures/report/checkpoints_{kind}.{ending}" in after, kind

    def test_the_newest_with_all_there_is(self, run, tmp_path, capsys):
        before = tree(run)
        assert diagnose.main(["report", f"--run_dir={run}", "--budget=full", "--out=x", "--device=cpu"]) == 0
        assert tree(run) == before
        content = json.loads((tmp_path / "x/6_report.json").read_text())
        assert (content["step"], content["budget"]) == (6, "full")
        assert content["name"] == "measured, gradient step 6"
        written = arrays(tmp_path / "x/6_report.npz")
        covariance = written["gradient_covariance/all"]
        assert covariance.shape == (8, 8) and written["step"] == 6
        drawn = {key.partition("/")[0] for key in written if key != "step"}
        assert {"gradient_covariance", "hessian_spectral_density", "ntk", "weight_singular_values"} <= drawn
        figures = {f"6_report_{quantity}.{kind}" for quantity in drawn for kind in ("png", "svg")}
        assert names("x") == figures | {f"6_report.{kind}" for kind in ("csv", "json", "npz")}
        rows = read_csv("x/6_report.csv")
        for (_, quantity, layer), value in rows.items():
            found = content["values"][quantity][layer]
            assert value == found or (found is None and not np.isfinite(value))
        assert content["left_out"]["output"].startswith("no units and features: its outputs are the model's")
        known = {*content["values"], *content["left_out"], *drawn} - {"output"}
        assert known == set(quantities_of_budget("full"))
        assert "hessian_trace" in capsys.readouterr().out

    def test_the_same_bytes_twice(self, run):
        for name in "ab":
            arguments = [f"--run_dir={run}", "--checkpoint=4", "--budget=cheap", f"--out={name}"]
            assert diagnose.main(["report", *arguments, "--device=cpu"]) == 0
        assert names("a") == names("b")
        for name in names("a"):
            assert pathlib.Path("a", name).read_bytes() == pathlib.Path("b", name).read_bytes()

    def test_without_the_network_of_step_0(self, capsys):
        train(pathlib.Path("plain"), 2)
        assert diagnose.main(["report", "--run_dir=plain", "--budget=cheap", "--device=cpu"]) == 0
        shown = capsys.readouterr().out
        assert "No quantities of change: the run has kept no network of gradient step 0." in shown
        content = json.loads(pathlib.Path("plain/arrays/report/2.json").read_text())
        assert content["left_out"]["distance_from_init"] == "needs `reference`"

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--run_dir=none"], "--run_dir: no such directory 'none'. Name the directory of a run"),
            (
                ["--run_dir={run}", "--checkpoint=5"],
                "--checkpoint must be a step with a checkpoint: 2, 4, 6. Received: 5",
            ),
        ],
    )
    def test_errors(self, run, capsys, arguments, message):
        assert diagnose.main(["report", *(each.format(run=run) for each in arguments)]) == 2
        assert capsys.readouterr().err == f"bin/diagnose: error: {message}\n"


def test_a_task_in_memory(tmp_path):
    bindings = [
        "train.total_steps = 4",
        "train.checkpoint_period = 2",
        "train.diagnostics = [@dead_units, @gradient_norm, @update_ratio]",
        "train.diagnostics_period = 2",
        "mlp.hidden = (4,)",
        "RandomLabelTask.num_examples = 30",
        "RandomLabelTask.batch_size = 8",
    ]
    flags = [f"--gin_bindings={binding}" for binding in bindings]
    run = tmp_path / "labels"
    config = "--gin_file=gin/random_labels_digits.gin"
    assert train_command.main([config, *flags, f"--run_dir={run}", "--device=cpu"]) == 0
    gin.clear_config()
    assert diagnose.main(["report", f"--run_dir={run}", "--all_checkpoints", "--device=cpu"]) == 0
    written = read_csv(run / "arrays/report/checkpoints.csv")
    tags = {key: value for key, value in metrics(run).items() if key[1].startswith("diagnostics/") and key[0]}
    assert len(tags) > 4
    for (step, tag), value in tags.items():
        assert written[step, *tag.split("/")[1:]] == value


@pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
class TestModel:
    @pytest.mark.parametrize("budget", ["medium", pytest.param("full", marks=pytest.mark.slow)])
    def test_what_diagnose_says_of_it(self, keras, budget, capsys):
        layers = [keras.layers.InputLayer((5,)), keras.layers.Dense(3, "tanh"), keras.layers.Dense(1)]
        model = keras.Sequential(layers)
        model.save("net.keras")
        regression(keras, "linear.keras")
        arguments = ["--model=net.keras", "--data=data.npz", "--loss=mse", "--num_examples=7"]
        assert diagnose.main(["report", *arguments, f"--budget={budget}", "--device=cpu"]) == 0
        data = arrays("data.npz")
        x, y = data["x"][:7].astype(np.float32), data["y"][:7, None]
        expected = diagnostics.diagnose(model, x, y, "mse", budget)
        rows = read_csv("net_report.csv")
        assert len(rows) == sum(map(len, expected.to_dict().values()))
        for quantity, by_layer in expected.to_dict().items():
            for layer, value in by_layer.items():
                np.testing.assert_allclose(rows[-1, quantity, layer], value, rtol=1e-4, err_msg=quantity)
        written = arrays("net_report.npz")
        for quantity, by_layer in expected.arrays.items():
            for layer, value in by_layer.items():
                found = written[f"{quantity}/{layer}"]
                np.testing.assert_allclose(found, value, rtol=1e-3, atol=1e-4, err_msg=quantity)
        assert json.loads(pathlib.Path("net_report.json").read_text())["left_out"] == expected.left_out
        out = capsys.readouterr().out
        assert f"net.keras: {budget} budget on 7 examples" in out and expected.summary() in out

    def test_the_loss_that_it_was_compiled_with(self, keras, capsys):
        dense = keras.layers.Dense(2, "softmax", kernel_regularizer=keras.regularizers.L2(0.1))
        model = keras.Sequential([keras.layers.InputLayer((5,)), dense])
        model.compile("sgd", "sparse_categorical_crossentropy", jit_compile=False)
        model.save("net.keras")
        x, y = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32), np.array([0, 1, 1, 0])
        np.savez("data.npz", x=x, y=y)
        arguments = ["report", "--model=net.keras", "--data=data.npz", "--device=cpu"]
        assert diagnose.main(arguments) == 0
        assert (
            "net.keras: medium budget on 4 examples, the loss is the compiled one" in capsys.readouterr().out
        )
        expected = diagnostics.gradient_norm(diagnostics.Snapshot(model, x, y))["all"]
        np.testing.assert_allclose(
            read_csv("net_report.csv")[-1, "gradient_norm", "all"], expected, rtol=1e-5
        )
        assert diagnose.main([*arguments, "--loss=sparse_categorical_crossentropy"]) == 0
        assert "are not part of the given `loss`" in capsys.readouterr().out
        np.savez("data.npz", x=x, y=y + 1)
        assert diagnose.main(arguments) == 2
        shown = capsys.readouterr().err
        assert shown == (
            "bin/diagnose: error: --data: the compiled loss takes integer labels from 0 to 1. "
            "Received: y from 1 to 2, int64\n"
        )

    def test_without_a_loss(self, keras):
        regression(keras, "linear.keras")
        np.savez("data.npz", x=np.ones([3, 5]))
        arguments = ["--model=linear.keras", "--data=data.npz", "--out=there"]
        assert diagnose.main(["report", *arguments, "--device=cpu"]) == 0
        left_out = json.loads(pathlib.Path("there/linear_report.json").read_text())["left_out"]
        assert left_out["gradient_norm"] == "needs `loss`"

    def test_targets_that_do_not_fit(self, keras, capsys):
        regression(keras, "linear.keras")
        np.savez("data.npz", x=np.ones([3, 5]), y=np.ones([3, 2]))
        arguments = ["--model=linear.keras", "--data=data.npz", "--loss=mse"]
        assert diagnose.main(["report", *arguments, "--device=cpu"]) == 2
        shown = capsys.readouterr().err
        assert shown.startswith("bin/diagnose: error: --data: --loss=mse takes y of shape [examples, 1]")


HOSTILE_CONFIGS = {
    "from __gin__ import dynamic_registration\nimport os\nos.system.command = 'touch owned'\n"
    "train.task = @os.system()\n": "refused 'import __gin__.dynamic_registration'",
    "import own_module\n": "refused 'import own_module'",
    "include 'other.gin'\n": "refused 'include other.gin'",
}


@pytest.mark.parametrize("text", HOSTILE_CONFIGS)
def test_a_config_that_is_more_than_data(run, tmp_path, capsys, text):
    pathlib.Path("other.gin").write_text("import own_module")
    pathlib.Path("own_module.py").write_text("open('owned', 'w')")
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (copy / "operative_config.gin").write_text(text + (run / "operative_config.gin").read_text())
    for command in ("report", "spectrum", "probe"):
        assert diagnose.main([command, f"--run_dir={copy}", "--device=cpu"]) == 2
        assert HOSTILE_CONFIGS[text] in capsys.readouterr().err
    assert not pathlib.Path("owned").exists()
