"""Model files from strangers through the whole program: refused before anything in them can act."""

import pathlib
import pickle
import sys
import zipfile
from typing import Any

import h5py
import keras as keras_3
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras_2

from tests.command_line.diagnose import hostile
from tests.command_line.diagnose.tiny import undisturbed  # noqa: F401
from tfplastic.command_line import diagnose
from tfplastic.command_line.diagnose.keras_files import user_modules

pytestmark = pytest.mark.usefixtures("undisturbed")
ALL = pytest.mark.parametrize(
    ("keras", "ending"),
    [(keras_2, ".keras"), (keras_2, ".h5"), (keras_3, ".keras"), (keras_3, ".h5")],
    ids=["keras2", "keras2-h5", "keras3", "keras3-h5"],
)
OWNED = "owned"
OS_REFUSED = "'os.system', which is of neither Keras nor tfplastic; --trust_module=os allows it"


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """{(Keras, ending): a compiled model of one hidden layer}, with data for it."""
    directory = tmp_path_factory.mktemp("honest")
    np.savez(directory / "data.npz", x=np.eye(3, dtype=np.float32), y=np.ones((3, 1), np.float32))
    files = {}
    for keras in (keras_2, keras_3):
        inputs = keras.Input((3,))
        hidden = keras.layers.Dense(2, activation="relu", name="hidden")(inputs)
        model = keras.Model(inputs, keras.layers.Dense(1, name="out")(hidden))
        model.compile(keras.optimizers.Adam(), "mse")
        for ending in (".keras", ".h5"):
            files[keras, ending] = directory / f"{keras.__name__}{ending}"
            model.save(files[keras, ending])
    return files


@pytest.fixture
def run(honest, capsys):
    """Reports on a file; returns the exit code and the output on one line."""
    data = honest[keras_2, ".h5"].parent / "data.npz"

    def run(path, *flags):
        capsys.readouterr()
        arguments = [f"--model={path}", f"--data={data}", "--budget=cheap", "--device=cpu", "--out=x", *flags]
        code = diagnose.main(["report", *arguments])
        error = capsys.readouterr().err
        assert code == 0 or error.count("\n") == 1
        assert not pathlib.Path(OWNED).exists()
        return code, error.removeprefix("bin/diagnose: error: ").strip()

    return run


@ALL
def test_honest_files_load(run, honest, keras, ending):
    assert run(honest[keras, ending])[0] == 0


@ALL
def test_the_optimizer_of_an_honest_file(honest, keras, ending, capsys):
    path = honest[keras, ending]
    flags = ["--num_targets=1", "--num_steps=2", "--batch_size=2", "--baselines=0", "--out=x", "--device=cpu"]
    assert diagnose.main(["probe", f"--model={path}", f"--data={path.parent / 'data.npz'}", *flags]) == 0
    assert "; Adam" in capsys.readouterr().out


@ALL
def test_commands_in_a_config(run, honest, keras, ending, tmp_path):
    lambda_layer = hostile.entry(
        "keras.layers",
        "Lambda",
        {"name": "out", "function": "system", "function_type": "function", "module": "os", "arguments": {}},
    )

    def change_layer(config):
        hostile.layers(config)[-1].update(lambda_layer)

    def change_activation(config):
        hostile.dense(config)["activation"] = hostile.function("os", "system")

    def change_initializer(config):
        hostile.dense(config)["kernel_initializer"] = hostile.entry(
            "subprocess", "Popen", {"args": ["touch", OWNED]}
        )

    def change_loss(config):
        config["compile_config"] = {"loss": hostile.function("os", "system")}

    messages = {
        change_layer: "'keras.layers.Lambda', whose code is in the file; --trust loads it",
        change_activation: OS_REFUSED,
        change_initializer: "'subprocess.Popen', which is of neither Keras nor tfplastic;"
        " --trust_module=subprocess allows it",
        change_loss: OS_REFUSED,
    }
    path = tmp_path / f"evil{ending}"
    for change, message in messages.items():
        hostile.rewrite(path, change, honest[keras, ending])
        code, error = run(path)
        assert code == 2
        assert error.startswith(f"--model: refused {str(path)!r}: ") and error.endswith(f" names {message}")


def test_operations_that_write_files_in_keras_2(run, tmp_path):
    inputs = keras_2.Input((3,))
    outputs = keras_2.layers.Dense(1)(tf.math.add(inputs, 1.0))
    for ending in (".keras", ".h5"):
        path = tmp_path / f"operation{ending}"
        keras_2.Model(inputs, outputs).save(path)
        assert run(path)[0] == 0
        hostile.rewrite(
            path, lambda config: hostile.layers(config)[1]["config"].update(function="io.write_file")
        )
        code, error = run(path)
        assert code == 2
        assert "the operation 'io.write_file' of TensorFlow, which is not on the list of safe ones" in error


@pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras2", "keras3"])
def test_lambda_layers_load_with_trust_only(run, keras, tmp_path):
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2), keras.layers.Lambda(lambda x: x * 2.0, output_shape=(2,))]
    )
    path = tmp_path / "lambda.keras"
    model.save(path)
    assert run(path)[1].endswith("whose code is in the file; --trust loads it")
    assert run(path, "--trust")[0] == 0


def test_layers_of_ones_own_load_with_their_module(run, tmp_path):
    text = "import keras\n@keras.saving.register_keras_serializable('mine')\n"
    text += "class Own(keras.layers.Dense): pass\n"
    pathlib.Path("own_dense.py").write_text(text)
    own = user_modules.import_module("own_dense")
    path = tmp_path / "own.keras"
    keras_3.Sequential([keras_3.Input((3,)), own.Own(2)]).save(path)
    keras_3.saving.get_custom_objects().clear()
    assert "names 'own_dense.Own', which is of neither Keras nor tfplastic" in run(path)[1]
    sys.modules.pop("own_dense")
    assert run(path, "--trust_module=own_dense")[0] == 0
    keras_3.saving.get_custom_objects().clear()


def test_saved_models_load_with_trust_only(run, honest, tmp_path):
    class Evil(tf.Module):
        @tf.function(input_signature=[])
        def serve(self):
            tf.io.write_file(OWNED, "x")

    tf.saved_model.save(Evil(), str(tmp_path / "graph"))
    code, error = run(tmp_path / "graph")
    assert code == 2 and "it is a SavedModel, whose graph may read and write files" in error
    assert "without Keras' layers" in run(tmp_path / "graph", "--trust")[1]
    kept: Any = keras_2.models.load_model(honest[keras_2, ".h5"], compile=False)
    kept.save(tmp_path / "kept", save_format="tf")
    assert run(tmp_path / "kept")[0] == 2
    assert run(tmp_path / "kept", "--trust")[0] == 0


@ALL
def test_weights_that_are_in_other_files(run, honest, keras, ending, tmp_path):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(24))
    makers = {
        "links to the file": lambda file: file.__setitem__("x", h5py.ExternalLink("/etc/other.h5", "/")),
        "is kept in another file": lambda file: file.create_dataset(
            "a/b", (6,), "f4", external=[(str(secret), 0, 24)]
        ),
    }
    for message, make in makers.items():
        path = tmp_path / f"linked{ending}"
        if ending == ".h5":
            path.write_bytes(honest[keras, ending].read_bytes())
            with h5py.File(path, "r+") as file:
                make(file)
        else:
            with zipfile.ZipFile(honest[keras, ending]) as archive:
                archive.extractall(tmp_path / "parts")
            with h5py.File(tmp_path / "parts/model.weights.h5", "r+") as file:
                make(file)
            with zipfile.ZipFile(path, "w") as archive:
                for part in ("metadata.json", "config.json", "model.weights.h5"):
                    archive.write(tmp_path / "parts" / part, part)
        code, error = run(path)
        assert code == 2 and message in error and "--trust loads it all the same" in error


@pytest.mark.parametrize("name", ["../owned", "/tmp/owned", "assets/../../owned"])
def test_parts_that_would_lie_outside(run, honest, tmp_path, name):
    path = tmp_path / "outside.keras"
    path.write_bytes(honest[keras_2, ".keras"].read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, "x")
    code, error = run(path)
    assert code == 2 and f"its part {name!r} would lie outside of it" in error


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("no.keras", b"", "File is not a zip file"),
        ("no.h5", b"x" * 100, "file signature not found"),
        ("no.pickle", pickle.dumps(3), "a name that ends in '.pickle'"),
        ("model", b"", "a name that ends in ''"),
    ],
)
def test_files_of_other_formats(run, name, content, message):
    pathlib.Path(name).write_bytes(content)
    code, error = run(name)
    assert code == 2 and error.startswith("--model must be in the format .keras or .h5") and message in error


def test_a_config_that_is_damaged_or_too_deep(run, honest):
    for number, config in enumerate([b"{", b"[1]", b"[" * 100_000, b'{"class_name": 3}']):
        path = pathlib.Path(f"damaged{number}.keras")
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("metadata.json", '{"keras_version": "2.21.0"}')
            archive.writestr("config.json", config)
        assert run(path)[0] == 2


def test_data_of_objects_is_not_unpickled(honest, capsys):
    class Evil:
        def __reduce__(self):
            return pathlib.Path.touch, (pathlib.Path(OWNED),)

    np.savez("data.npz", x=np.array([Evil()], dtype=object), y=np.ones(1), allow_pickle=True)
    pathlib.Path("bare.npz").write_bytes(pickle.dumps(Evil()))
    for name in ("data.npz", "bare.npz"):
        assert diagnose.main(["report", f"--model={honest[keras_2, '.h5']}", f"--data={name}"]) == 2
        assert "--data must be an .npz file of numbers" in capsys.readouterr().err
        assert not pathlib.Path(OWNED).exists()


def test_trust_goes_with_a_model(capsys):
    assert diagnose.main(["report", "--run_dir=x", "--trust"]) == 2
    assert "--trust goes with --model, which is not given" in capsys.readouterr().err
