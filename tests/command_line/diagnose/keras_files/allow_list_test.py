"""A stranger's config names nothing but parts of models: of Keras 2, of Keras 3, and of this library."""

import json
import sys

import keras as keras_3
import pytest
import tensorflow as tf
import tf_keras as keras_2

import tfplastic
from tests.command_line.diagnose.hostile import entry, function
from tfplastic.command_line.diagnose.keras_files.allow_list import AllowList
from tfplastic.configuration.errors import UsageError

BOTH = pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras2", "keras3"])
OPERATION = "tf_keras.src.layers.core.tf_op_layer"


@pytest.fixture(scope="module")
def lists():
    return {keras: AllowList(keras) for keras in (keras_2, keras_3)}


def refused(allow_list, config):
    text = allow_list.first_refused(json.loads(json.dumps(config)))
    assert "\n" not in text
    return text


def rich_model(keras):
    """A model with many of the parts that models have."""
    layers = keras.layers
    images = keras.Input((6, 6, 1), name="images")
    x = layers.Conv2D(2, 2, activation=tf.nn.relu, kernel_regularizer=keras.regularizers.L1L2(0.1, 0.2))(
        images
    )
    x = layers.BatchNormalization(gamma_constraint=keras.constraints.NonNeg())(x)
    x = layers.TimeDistributed(layers.Dense(3, activation="gelu", kernel_initializer="he_normal"))(x)
    x = layers.Reshape((25, 3))(x)
    x = layers.MultiHeadAttention(2, 2)(x, x)
    x = layers.Bidirectional(layers.LSTM(2, return_sequences=True))(x)
    x = layers.RNN([layers.GRUCell(2), layers.LSTMCell(2)])(x)
    inner = keras.Sequential([keras.Input((2,)), layers.LeakyReLU(), layers.Dense(4)], name="inner")
    x = keras.Model(inner.inputs[0], inner.outputs[0])(x) * 2.0
    x = layers.Add()([x, layers.Activation("softplus")(x)])[:, :3]
    x = tf.nn.softmax(x) if keras is keras_2 else keras.ops.softmax(keras.ops.sum(x, axis=-1, keepdims=True))
    model = keras.Model(images, x)
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    metrics = ["accuracy", keras.metrics.MeanSquaredError()]
    model.compile(keras.optimizers.AdamW(schedule), keras.losses.Huber(), metrics=metrics)
    return model


@BOTH
def test_honest_models_pass(lists, keras):
    model = rich_model(keras)
    config = keras.saving.serialize_keras_object(model)
    assert refused(lists[keras], config) == ""
    assert (
        refused(lists[keras], {"model_config": {"class_name": "Functional", "config": model.get_config()}})
        == ""
    )
    policy = keras.mixed_precision.Policy if keras is keras_2 else keras.DTypePolicy
    half = keras.layers.Dense(2, dtype=policy("mixed_bfloat16"))
    assert refused(lists[keras], keras.saving.serialize_keras_object(half)) == ""


@BOTH
def test_every_layer_that_needs_no_file_passes(lists, keras):
    """Each public layer by its name alone; the exceptions are layers of code and of files."""
    exceptions = set()
    for name, layer in vars(keras.layers).items():
        if isinstance(layer, type) and issubclass(layer, keras.layers.Layer):
            if refused(lists[keras], entry("keras.layers", name, {"name": "x"}, None)):
                exceptions.add(name)
    code = {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "DenseFeatures"}
    assert exceptions <= code and "Lambda" in exceptions


@BOTH
def test_our_layers_and_optimizers_pass(keras):
    if tfplastic.layers.RMSNormalization.__mro__[1] is keras.layers.Layer:
        layer = tfplastic.layers.RMSNormalization()
        assert refused(AllowList(keras), keras.saving.serialize_keras_object(layer)) == ""
        module = type(layer).__module__
        assert refused(AllowList(keras), entry(module, "RMSNormalization", {}, None)) == ""


HOSTILE = {
    "a module's function": function("os", "system"),
    "a class of another module": entry("subprocess", "Popen", {"args": ["touch", "x"]}),
    "as builtin function": function("builtins", "exec"),
    "as builtin class": entry("builtins", "eval", {}),
    "without a module": entry(None, "system", {}),
    "an empty module": entry("", "os", {}),
    "in this library, no layer": function("tfplastic.writers", "atomic_file"),
    "through this library's imports": entry("tfplastic.writers", "os.system", {}),
    "through Keras' imports": entry("keras.src.saving.saving_lib", "os.system", {}, "Dense"),
    "Keras' own that reads files": function("keras.utils", "get_file"),
    "Keras' own loader": function("keras.models", "load_model"),
    "Keras' own switch": function("keras.config", "enable_unsafe_deserialization"),
    "a name with dots in Keras": function("keras", "utils.get_file"),
    "a package with a like name": entry("keras_evil.layers", "Dense", {}),
    "a file in Keras' package": function("keras.src.utils.file_utils", "get_file"),
    "registered under the name of another": entry("os", "system", {}, "Dense"),
    "known by its other name": entry("keras.src.saving.saving_lib", "nothing", {}, "load_model"),
    "a lambda": {"class_name": "__lambda__", "config": {"value": "x"}},
    "a type by name": {
        "class_name": "__typespec__",
        "config": [],
        "spec_name": "system",
        "module": "os",
        "registered_name": None,
    },
    "a Lambda layer": entry("keras.layers", "Lambda", {"function": "system", "function_type": "function"}),
    "a Lambda layer of old": {"class_name": "Lambda", "config": {"function": ["x", None, None]}},
    "a Lambda layer by its file": entry("keras.src.layers.core.lambda_layer", "Lambda", {}),
    "a vocabulary": entry("keras.layers", "StringLookup", {"vocabulary": "/etc/passwd"}),
    "a class that is no text": {"class_name": ["Dense"], "config": {}},
    "a module that is no text": entry(["os"], "system"),
    "a function that is no text": entry("keras.activations", "function", {"x": 1}, None),
}
PLACES = {
    "itself": lambda bad: bad,
    "an activation": lambda bad: entry("keras.layers", "Dense", {"units": 2, "activation": bad}),
    "an initializer": lambda bad: entry("keras.layers", "Dense", {"units": 2, "kernel_initializer": bad}),
    "a layer of old": lambda bad: {"class_name": "Dense", "config": {"kernel_constraint": bad}},
    "below a wrapper": lambda bad: entry(
        "keras.layers",
        "TimeDistributed",
        {"layer": entry("keras.layers", "Dense", {"bias_regularizer": bad})},
    ),
    "an argument of a node": lambda bad: {"inbound_nodes": [{"args": [1, [bad]], "kwargs": {}}]},
    "to build with": lambda bad: entry("keras.layers", "Dense") | {"build_config": {"input_shape": [bad]}},
    "a loss": lambda bad: {"compile_config": {"loss": {"a": [bad]}}},
    "an optimizer's schedule": lambda bad: {
        "compile_config": {"optimizer": entry("keras.optimizers", "Adam", {"learning_rate": bad})}
    },
}


@BOTH
@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_names_are_refused_wherever_they_stand(lists, keras, what):
    bad = HOSTILE[what]
    for where, place in PLACES.items():
        is_harmless = where == "a loss" and bad.get("module") is None and bad["class_name"] == "system"
        assert bool(refused(lists[keras], place(bad))) != is_harmless, where


def test_what_is_refused_is_said():
    found = AllowList(keras_2)
    assert refused(found, {"config": {"layers": [1, function("os", "system")]}}) == (
        "config.layers[1] names 'os.system', which is of neither Keras nor tfplastic;"
        " --trust_module=os allows it"
    )
    assert refused(found, entry("keras.layers", "Lambda")) == (
        "its root names 'keras.layers.Lambda', whose code is in the file; --trust loads it"
    )
    assert refused(found, function("keras.utils", "get_file")) == (
        "its root names 'keras.utils.get_file', nothing of Keras or tfplastic goes by that name"
    )


@pytest.mark.parametrize(
    ("name", "config", "is_fine"),
    [
        ("TFOpLambda", {"function": "math.multiply"}, True),
        ("TFOpLambda", {"function": "__operators__.add"}, True),
        ("TFOpLambda", {"function": "concat"}, True),
        ("TFOpLambda", {"function": "compat.v1.nn.conv2d"}, True),
        ("TFOpLambda", {"function": "keras.activations.gelu"}, True),
        ("TFOpLambda", {"function": "io.write_file"}, False),
        ("TFOpLambda", {"function": "io.read_file"}, False),
        ("TFOpLambda", {"function": "raw_ops.WriteFile"}, False),
        ("TFOpLambda", {"function": "py_function"}, False),
        ("TFOpLambda", {"function": "numpy_function"}, False),
        ("TFOpLambda", {"function": "print"}, False),
        ("TFOpLambda", {"function": "compat.v1.gfile.Open"}, False),
        ("TFOpLambda", {"function": "nn.fixed_unigram_candidate_sampler"}, False),
        ("TFOpLambda", {"function": "nn.RNNCellResidualWrapper"}, False),
        ("TFOpLambda", {"function": "keras.utils.get_file"}, False),
        ("TFOpLambda", {"function": "keras.models.load_model"}, False),
        ("TFOpLambda", {"function": ["math.add"]}, False),
        ("SlicingOpLambda", {"function": "__operators__.getitem"}, True),
        ("SlicingOpLambda", {"function": "io.write_file"}, False),
        ("ClassMethod", {"cls_symbol": "RaggedTensor", "method_name": "from_row_splits"}, True),
        ("ClassMethod", {"cls_symbol": "RaggedTensor", "method_name": "__subclasses__"}, False),
        ("ClassMethod", {"cls_symbol": "io.gfile.GFile", "method_name": "write"}, False),
        ("InstanceProperty", {"attr_name": "flat_values"}, True),
        ("InstanceProperty", {"attr_name": "__class__"}, False),
        ("InstanceMethod", {"attr_name": "to_tensor"}, True),
        ("InstanceMethod", {"attr_name": "eval"}, False),
    ],
)
def test_operations_of_tensorflow_in_keras_2(lists, name, config, is_fine):
    honest = entry(OPERATION, name, config)
    disguised = entry(OPERATION, "nothing", config, name)
    for each in (honest, {"class_name": name, "config": config}):
        assert (refused(lists[keras_2], each) == "") == is_fine
    assert refused(lists[keras_2], disguised)


def test_raw_operations_and_cells_with_functions(lists):
    node = {"node_def": "name: 'x' op: 'WriteFile'", "constants": {}}
    for module in (None, "tf_keras.src.engine.base_layer"):
        assert refused(lists[keras_2], entry(module, "TensorFlowOpLayer", node))
    wrapper = {"residual_fn": ["x"], "residual_fn_type": "lambda", "residual_fn_module": "os"}
    for name in ("ResidualWrapper", "DropoutWrapper"):
        assert refused(lists[keras_2], entry("tf_keras.src.layers.rnn.cell_wrappers", name, wrapper))


def test_compiled_with_a_function_of_ones_own(lists):
    """It is never made, and without a module Keras would find nothing."""
    for keras in (keras_2, keras_3):
        own = [entry(None, "MyLoss", {}), entry("builtins", "function", "my_metric", "function")]
        assert refused(lists[keras], {"compile_config": {"loss": own[0], "metrics": own[1:]}}) == ""
        assert refused(lists[keras], {"config": {"loss": own[0]}})


class TestTrustedModules:
    @pytest.fixture(autouse=True)
    def module(self, tmp_path, monkeypatch):
        text = (
            "import {0}\n@{0}.saving.register_keras_serializable('mine')\nclass Own({0}.layers.{1}): pass\n"
        )
        for name, base in (("own_layers", "Dense"), ("own_lambda", "Lambda")):
            (tmp_path / f"{name}.py").write_text(text.format("keras", base))
        (tmp_path / "broken_layers.py").write_text("raise RuntimeError('first\\nsecond')")
        monkeypatch.chdir(tmp_path)
        yield
        for name in ("own_layers", "own_lambda"):
            sys.modules.pop(name, None)
            keras_3.saving.get_custom_objects().pop("mine>Own", None)

    def test_its_names_pass_when_it_is_trusted(self):
        own = entry("own_layers", "Own", {"units": 2}, "mine>Own")
        text = refused(AllowList(keras_3), own)
        assert text.endswith(
            "'own_layers.Own', which is of neither Keras nor tfplastic; --trust_module=own_layers allows it"
        )
        path = list(sys.path)
        trusting = AllowList(keras_3, ["own_layers"])
        assert sys.path == path
        assert refused(trusting, own) == ""
        assert refused(trusting, entry(None, "mine>Own", {})) == ""
        for other in ("own_layers2", "own", "os"):
            assert refused(trusting, entry(other, "Own", {}, "mine>Own"))

    def test_its_lambda_layers_still_need_more(self):
        trusting = AllowList(keras_3, ["own_lambda"])
        assert "--trust loads it" in refused(trusting, entry("own_lambda", "Own", {}, "mine>Own"))

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("no_such_layers", "ModuleNotFoundError: No module named 'no_such_layers'"),
            ("broken_layers", "RuntimeError: first second"),
        ],
    )
    def test_one_that_cannot_be_imported(self, name, message):
        with pytest.raises(UsageError) as caught:
            AllowList(keras_3, [name])
        action = f"Make `import {name}` work in this folder first"
        assert str(caught.value) == f"--trust_module: cannot import {name!r}: {message}. {action}"
