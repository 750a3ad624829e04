"""`bin/diagnose spectrum` on a tiny run and tiny models, against dense Hessians in float64."""

import json
import os
import pathlib
import re
import subprocess
import sys
from typing import Any

import gin
import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tests.command_line.diagnose.tiny import arrays, regression, train, tree, undisturbed  # noqa: F401
from tfplastic.command_line import diagnose
from tfplastic.command_line.diagnose import checkpoints
from tfplastic.command_line.diagnose.spectrum import measurement
from tfplastic.configuration import gin_config
from tfplastic.training import Loop, TrainConfig

ROOT = pathlib.Path(__file__).resolve().parents[4]
SMALL = ("--device=cpu", "--num_eigenvalues=2", "--num_steps=21", "--num_probes=3", "--tol=1e-5")
KEYS = {
    *("size", "eigenvalues", "residuals", "converged", "nodes", "weights", "grid", "density", "width"),
    *("trace", "trace_standard_error", "num_products", "step", "num_examples", "seed"),
}


def dense_hessian(loss, variables):
    """The Hessian of a loss, `[n, n] float64`, by a loop over the entries of its gradient."""
    rows = []
    with tf.GradientTape(persistent=True) as outer:
        with tf.GradientTape() as inner:
            value = loss()
        gradients = inner.gradient(value, variables)
        entries = [entry for gradient in gradients for entry in tf.unstack(tf.reshape(gradient, [-1]))]
    for entry in entries:
        row = outer.gradient(entry, variables, unconnected_gradients="zero")
        rows.append(np.concatenate([np.ravel(part) for part in row]).astype(np.float64))
    return np.array(rows)


def check_spectrum(written, hessian):
    eigenvalues, size = np.linalg.eigvalsh(hessian)[::-1], len(hessian)
    expected = np.r_[eigenvalues[:2], eigenvalues[-2:]]
    np.testing.assert_allclose(written["eigenvalues"], expected, atol=1e-5 * eigenvalues[0])
    assert written["residuals"].shape == (4,) and written["residuals"].max() < 1e-4 * eigenvalues[0]
    assert written["converged"].all()
    assert written["nodes"].shape == written["weights"].shape == (3, min(21, size))
    np.testing.assert_allclose(written["weights"].sum(axis=1), 1)
    np.testing.assert_allclose(np.trapezoid(written["density"], written["grid"]), 1, atol=1e-6)
    assert abs(written["trace"] - eigenvalues.sum()) < 5 * written["trace_standard_error"] + 1e-4
    assert written["size"] == size and set(written) == KEYS


pytestmark = pytest.mark.usefixtures("undisturbed")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of six steps with its loop."""
    path = tmp_path_factory.mktemp("runs") / "tiny"
    return path, train(path)


class TestRun:
    def test_the_newest_checkpoint(self, run, capsys):
        path, loop = run
        before = tree(path)
        assert diagnose.main(["spectrum", f"--run_dir={path}", *SMALL]) == 0
        after = tree(path)
        new = {"arrays/spectrum/6.npz", "figures/spectrum/6.png", "figures/spectrum/6.svg"}
        assert set(after) - set(before) == new and {name: after[name] for name in before} == before
        batch, _ = loop.task.diagnostics_batch()
        hessian = dense_hessian(
            lambda: loop.task.loss(loop.task.model, batch)[0], loop.task.model.trainable_variables
        )
        written = arrays(path / "arrays/spectrum/6.npz")
        check_spectrum(written, hessian)
        assert (written["step"], written["num_examples"], written["seed"]) == (6, 8, 0)
        # What the run itself has measured with its `sharpness`.
        (sharpness,) = re.findall(
            r"^6,diagnostics/sharpness/all,(.*)$", (path / "metrics.csv").read_text(), re.M
        )
        np.testing.assert_allclose(written["eigenvalues"][0], float(sharpness), rtol=2e-3)
        shown = capsys.readouterr()
        assert "tiny, gradient step 6: loss on 8 examples, 21 weights" in shown.out
        assert (
            f"{written['eigenvalues'][0]:.6g}" in shown.out
            and str(path / "figures/spectrum/6.svg") in shown.out
        )
        assert re.search(r"^density: 63 of at most 63 products, took", shown.err, re.MULTILINE)

    def test_an_older_checkpoint_elsewhere(self, run, tmp_path):
        path, _ = run
        before = tree(path)
        assert diagnose.main(["spectrum", f"--run_dir={path}", "--checkpoint=4", "--out=x/y", *SMALL]) == 0
        assert tree(path) == before
        assert {file.name for file in (tmp_path / "x/y").iterdir()} == {
            f"4_spectrum.{kind}" for kind in ("npz", "png", "svg")
        }
        assert arrays("x/y/4_spectrum.npz")["step"] == 4

    def test_seeds(self, run):
        path, _ = run
        for name, seed in (("a", 0), ("b", 0), ("c", 1)):
            arguments = ["spectrum", f"--run_dir={path}", f"--out={name}", f"--seed={seed}", *SMALL]
            assert diagnose.main(arguments) == 0
        for kind in ("npz", "png", "svg"):
            assert (
                pathlib.Path(f"a/6_spectrum.{kind}").read_bytes()
                == pathlib.Path(f"b/6_spectrum.{kind}").read_bytes()
            )
        first, other = arrays("a/6_spectrum.npz"), arrays("c/6_spectrum.npz")
        assert not np.array_equal(first["weights"], other["weights"])
        np.testing.assert_allclose(first["eigenvalues"], other["eigenvalues"], atol=1e-5)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--run_dir=none"], "--run_dir: no such directory 'none'. Name the directory of a run"),
            (
                ["--run_dir=."],
                "--run_dir: '.' holds no run: it has no operative_config.gin. Name the directory of a run",
            ),
            (
                ["--run_dir={run}", "--checkpoint=5"],
                "--checkpoint must be a step with a checkpoint: 4, 6. Received: 5",
            ),
            (
                ["--run_dir={run}", "--out={run}/status.json/x"],
                "cannot write to '{run}/status.json/x'; --out takes another directory",
            ),
        ],
    )
    def test_errors(self, run, capsys, arguments, message):
        filled = [each.format(run=run[0]) for each in arguments]
        check_error(capsys, filled, message.format(run=run[0]))

    def test_a_run_without_checkpoints(self, capsys, tmp_path):
        (tmp_path / "operative_config.gin").write_text("train.seed = 0\n")
        (tmp_path / "checkpoints" / "step_000000000002").mkdir(parents=True)  # one that is being written
        check_error(
            capsys, ["--run_dir=."], "--run_dir: the run in '.' has no checkpoint yet. Wait for its first one"
        )

    def test_a_checkpoint_of_another_network(self, run, capsys, tmp_path):
        checkpoint = checkpoints.find_checkpoint(str(run[0]), 4)
        new = tmp_path / "checkpoints" / "step_000000000004"
        new.mkdir(parents=True)
        (tmp_path / "operative_config.gin").write_bytes((run[0] / "operative_config.gin").read_bytes())
        (new / "task.json").write_bytes((checkpoint.directory / "task.json").read_bytes())
        manifest = json.loads((checkpoint.directory / "manifest.json").read_text())
        (new / "manifest.json").write_text(json.dumps({**manifest, "shared_files": [], "checksums": {}}))
        other = tf.train.Checkpoint(model=keras_2.Sequential([keras_2.layers.Dense(1, input_shape=(2,))]))
        other.write(str(new / "variables"))
        assert diagnose.main(["spectrum", "--run_dir=.", *SMALL]) == 2
        shown = capsys.readouterr().err
        assert shown.startswith("bin/diagnose: error: --run_dir: checkpoint 4 cannot be read: ")
        assert shown.count("\n") == 1

    def test_an_interrupt_writes_nothing(self, run, capsys, monkeypatch):
        def interrupted(*arguments):
            raise KeyboardInterrupt

        monkeypatch.setattr(measurement, "measure", interrupted)
        assert diagnose.main(["spectrum", f"--run_dir={run[0]}", "--out=x", *SMALL]) == 130
        assert capsys.readouterr().err == "bin/diagnose: error: interrupted\n"
        assert not pathlib.Path("x").exists()


def test_a_diagnosed_run_goes_on_as_if_it_had_not_been(tmp_path):
    train(tmp_path / "plain", 4)
    train(tmp_path / "diagnosed", 4)
    assert diagnose.main(["spectrum", "--run_dir=diagnosed", *SMALL]) == 0
    spectrum = (tmp_path / "diagnosed/arrays/spectrum/4.npz").read_bytes()
    train(tmp_path / "plain", 8)
    train(tmp_path / "diagnosed", 8)
    for name in ("metrics.csv", "checkpoints/step_000000000008/variables.data-00000-of-00001"):
        assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "diagnosed" / name).read_bytes()
    assert (tmp_path / "diagnosed/arrays/spectrum/4.npz").read_bytes() == spectrum
    assert json.loads((tmp_path / "diagnosed/status.json").read_text())["state"] == "finished"


def test_the_config_of_an_atari_run_reads_back_as_the_same_run(tmp_path):
    """With the values of TF-Agents' own configurables in it."""
    small = ["AtariTask.replay_capacity = 20_000", "AtariTask.game = 'Boxing'", "nature_dqn.width = 0.25"]
    gin_config.parse(["gin/atari_c51.gin", "gin/networks/nature_dqn_ln.gin"], small)
    Loop(gin.get_configurable(TrainConfig)())
    operative = gin_config.operative_text()
    (tmp_path / "operative_config.gin").write_text(operative)
    gin_config.parse(["operative_config.gin"], [])
    task: Any = Loop(gin.get_configurable(TrainConfig)()).task
    assert task.game == "Boxing"
    assert gin_config.operative_text() == operative


@pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
def test_a_linear_model_in_ragged_batches(keras):
    hessian = regression(keras, "linear.keras")
    arguments = ["--model=linear.keras", "--data=data.npz", "--loss=mse", "--batch_size=4"]
    assert diagnose.main(["spectrum", *arguments, *SMALL]) == 0
    written = arrays("linear_spectrum.npz")
    check_spectrum(written, hessian)
    assert (written["step"], written["num_examples"]) == (-1, 10)
    assert pathlib.Path("linear_spectrum.png").read_bytes().startswith(b"\x89PNG")
    assert pathlib.Path("linear_spectrum.svg").read_text().startswith("<?xml")
    assert os.environ["TF_USE_LEGACY_KERAS"] == ("1" if keras is keras_2 else "0")


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
def test_the_loss_that_a_model_was_compiled_with(keras, capsys):
    """L = 3 mean (w x)^2 + 0.5 w^2 of one weight, whose second derivative is 6 mean x^2 + 1 = 67."""
    dense = keras.layers.Dense(1, use_bias=False, kernel_regularizer=keras.regularizers.L2(0.5))
    model = keras.Sequential([keras.Input((1,)), dense])
    model.save("net.keras")
    x = np.arange(1.0, 6.0).reshape(5, 1)
    np.savez("data.npz", x=x, y=np.zeros(5))
    arguments = ["--data=data.npz", "--batch_size=2", "--num_eigenvalues=1", "--num_probes=1"]
    assert diagnose.main(["spectrum", "--model=net.keras", *arguments]) == 2
    error = "bin/diagnose: error: --loss must be given: 'net.keras' was not compiled with a loss\n"
    assert capsys.readouterr().err == error
    model.compile("sgd", keras.losses.MeanSquaredError(), loss_weights=[3.0])
    for name in ("net.keras", "net.h5") if keras is keras_2 else ("net.keras",):
        model.save(name)
        assert diagnose.main(["spectrum", f"--model={name}", *arguments, "--device=cpu"]) == 0
        np.testing.assert_allclose(arrays("net_spectrum.npz")["eigenvalues"], 67, rtol=1e-5)


def test_the_real_program_on_a_keras_3_classifier():
    """In an environment that asks for Keras 2, which cannot read the file."""
    model = keras_3.Sequential(
        [keras_3.Input((3,)), keras_3.layers.Dense(4, "tanh"), keras_3.layers.Dense(3)]
    )
    model.save("net.keras")
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(12, 3)).astype(np.float32), generator.integers(0, 3, 12)
    np.savez("data.npz", x_train=x, y_train=y, x_test=x)
    command = [sys.executable, str(ROOT / "bin/diagnose"), "spectrum", "--model=net.keras", "--data=data.npz"]
    options = ["--loss=sparse_categorical_crossentropy", "--from_logits", *SMALL]
    hidden = ("TF_CPP_MIN_LOG_LEVEL", "CUDA_VISIBLE_DEVICES")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    answer = subprocess.run(
        [*command, *options], env=environment, capture_output=True, text=True, timeout=200
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith(
        "TF_USE_LEGACY_KERAS is set to 0 for this command, because net.keras was "
    )
    assert all("products" in line for line in answer.stderr.splitlines()), answer.stderr  # no chatter
    loss = keras_3.losses.SparseCategoricalCrossentropy(from_logits=True)
    hessian = dense_hessian(
        lambda: loss(y, model(x)), [variable.value for variable in model.trainable_variables]
    )
    check_spectrum(arrays("net_spectrum.npz"), hessian)


def check_error(capsys, arguments, message):
    assert diagnose.main(["spectrum", *arguments, *SMALL]) == 2
    shown = capsys.readouterr()
    assert shown.err == f"bin/diagnose: error: {message}\n"
    assert not list(pathlib.Path().rglob("*.svg"))


class TestModelErrors:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (None, "--data: no such file 'data.npz'. Give the path of an .npz file"),
            (
                {"x": np.ones([2, 5]), "z": np.ones(2)},
                "--data must have the arrays x and y, .* Received: x, z",
            ),
            ({"x": np.ones([2, 5]), "y": np.ones(3)}, "--data: x and y must be as long. Received: 2 and 3"),
            (
                {"x_train": np.ones([0, 5]), "y_train": np.ones(0)},
                "--data: x_train must be numbers of shape [examples, ...]. Received: float64 of shape [0, 5]",
            ),
            (
                {"x": np.ones([2, 5]), "y": np.array(["a", "b"])},
                "--data: y must be numbers of shape [examples, ...]. Received: <U1 of shape [2]",
            ),
            (
                {"x": np.ones([2, 4]), "y": np.ones(2)},
                "--data must hold inputs of shape [examples, 5] that the model takes. "
                "Received: inputs of shape [examples, 4]: .*",
            ),
            (
                {"x": np.ones([2, 5]), "y": np.ones([2, 3])},
                "--data: --loss=mse takes y of shape [examples, 1] for outputs of shape [examples, 1]. "
                "Received: y of shape [examples, 3]",
            ),
            (
                b"x, y",
                "--data must be an .npz file of numbers. Received: 'data.npz' (File is not a zip file)",
            ),
        ],
    )
    def test_data(self, capsys, content, message):
        regression(keras_2, "linear.keras")
        os.remove("data.npz")
        if isinstance(content, bytes):
            pathlib.Path("data.npz").write_bytes(content)
        elif content is not None:
            np.savez("data.npz", allow_pickle=False, **content)
        assert (
            diagnose.main(["spectrum", "--model=linear.keras", "--data=data.npz", "--loss=mse", *SMALL]) == 2
        )
        shown = capsys.readouterr().err
        assert re.fullmatch(f"bin/diagnose: error: {re.escape(message)}\n".replace(r"\.\*", ".*"), shown), (
            shown
        )

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("no.keras", None, "--model: no such file 'no.keras'. Give the path of a .keras or .h5 file"),
            (
                "old.h5",
                b"HDF",
                "--model must be in the format .keras or .h5, as model.save('name.keras') writes it."
                " Received: 'old.h5' (Unable to synchronously open file (file signature not found))",
            ),
        ],
    )
    def test_model(self, capsys, name, content, message):
        regression(keras_2, "linear.keras")
        if content is not None:
            pathlib.Path(name).write_bytes(content)
        check_error(capsys, [f"--model={name}", "--data=data.npz", "--loss=mse"], message)

    def test_layers_that_keras_does_not_know(self, capsys):
        class Doubled(keras_2.layers.Dense):
            pass

        keras_2.Sequential([keras_2.layers.InputLayer((5,)), Doubled(1)]).save("own.keras")
        regression(keras_2, "linear.keras")
        assert diagnose.main(["spectrum", "--model=own.keras", "--data=data.npz", "--loss=mse", *SMALL]) == 2
        shown = capsys.readouterr().err
        refused = f"--model: refused 'own.keras': config.layers[1] names '{__name__}.Doubled'"
        rule = f"which is of neither Keras nor tfplastic; --trust_module={__name__} allows it"
        assert shown == f"bin/diagnose: error: {refused}, {rule}\n"

    @pytest.mark.parametrize("loss", ["msee", "mean_squared_eror"])
    def test_loss(self, capsys, loss):
        regression(keras_2, "linear.keras")
        assert diagnose.main(["spectrum", "--model=linear.keras", "--data=data.npz", f"--loss={loss}"]) == 2
        rule = "--loss must be the name of a Keras loss"
        shown = capsys.readouterr().err
        assert shown.startswith(f"bin/diagnose: error: {rule}. Received: '{loss}'. Did you mean 'm")
        assert shown.count("\n") == 1

    def test_several_inputs(self, capsys):
        inputs = [keras_2.Input((5,)), keras_2.Input((5,))]
        outputs = keras_2.layers.Dense(1)(keras_2.layers.Add()(inputs))
        keras_2.Model(inputs, outputs).save("two.keras")
        regression(keras_2, "linear.keras")
        message = "--model must have one input and one output. Received: one with 2 inputs (docs/curvature.md"
        assert diagnose.main(["spectrum", "--model=two.keras", "--data=data.npz", "--loss=mse", *SMALL]) == 2
        assert capsys.readouterr().err.startswith(f"bin/diagnose: error: {message}")
