"""Wrong arguments of the Python API: one line with argument, rule and the value received, before any work."""

import functools
import importlib
import re
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfplastic as tp
from tfplastic._keras import keras
from tfplastic.callbacks import PlasticityDiagnostics
from tfplastic.training import PlasticModel

_RANDOM = np.random.default_rng(0)
INPUTS = _RANDOM.normal(size=[6, 5]).astype(np.float32)
TARGETS = _RANDOM.normal(size=[6, 3]).astype(np.float32)
TEXTS, OBJECTS = np.full([6, 5], "a"), np.full([6, 5], None)
NAN = np.where(np.arange(30).reshape(6, 5) == 7, np.nan, INPUTS)
HUGE_SEED = 2**64


class Subclass(keras.Model):
    """A model without a declared input."""

    def __init__(self):
        super().__init__()
        self.hidden, self.act, self.last = keras.layers.Dense(4), keras.layers.ReLU(), keras.layers.Dense(3)

    def call(self, inputs):
        return self.last(self.act(self.hidden(inputs)))


@pytest.fixture(scope="module")
def model():
    return tp.networks.mlp(3, hidden=(4,), input_shape=(5,))


@pytest.fixture(scope="module")
def subclass():
    made = Subclass()
    made(INPUTS)
    return made


@pytest.fixture(scope="module")
def operator(model):
    return tp.linalg.HessianOperator(lambda: tf.reduce_sum(model.weights[0] ** 2), model.trainable_variables)


def check(call, message, error: Any = ValueError):
    with pytest.raises(error) as caught:
        call()
    text = str(caught.value)
    assert re.match(message, text), text
    assert "\n" not in text and "Received: " in text


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            INPUTS[:, :4],
            r"`inputs` must be of shape \[None, 5\], as those of the model\. Received: \[6, 4\]$",
        ),
        (
            INPUTS[None],
            r"`inputs` must be of shape \[None, 5\], as those of the model\. Received: \[1, 6, 5\]$",
        ),
        (INPUTS[:, 0], r"`inputs` must be of shape \[None, 5\], as those of the model\. Received: \[6\]$"),
        ([INPUTS, INPUTS], r"`inputs` must be of shape \[None, 5\], .* Received: \[6, 5\], \[6, 5\]$"),
        (INPUTS[:0], r"`inputs` must be a batch of at least one\. Received: shape \[0, 5\]$"),
        (np.float32(1), r"`inputs` must be a batch of at least one\. Received: shape \[\]$"),
        (None, r"`inputs` must be a batch of at least one\. Received: None$"),
        (TEXTS, r"`inputs` must be an array of numbers\. Received: texts of shape \[6, 5\]$"),
        (OBJECTS, r"`inputs` must be an array of numbers\. Received: object of shape \[6, 5\]$"),
        (NAN, r"`inputs` must be finite\. Received: 1 of 30 that are not$"),
        (np.full([6, 5], np.inf), r"`inputs` must be finite\. Received: 30 of 30 that are not$"),
    ],
)
def test_wrong_inputs(inputs, message, model):
    check(lambda: tp.diagnostics.diagnose(model, inputs, budget="cheap"), message)


def test_a_model_that_does_not_say_what_it_takes_says_what_does_not_fit(subclass):
    message = r"`inputs` must fit the model\. Received: \[6, 4\]; .*expected axis -1 of input shape"
    check(lambda: tp.diagnostics.diagnose(subclass, INPUTS[:, :4], budget="cheap"), message)
    callback = PlasticityDiagnostics(INPUTS[:, :4], model=subclass)
    check(callback.on_train_begin, message)


@pytest.mark.parametrize("package", ["keras", "tf_keras"])
def test_a_dictionary_without_the_names_of_the_inputs(package):
    layers = importlib.import_module(f"{package}.layers")
    inputs = [layers.Input((2,), name=name) for name in ("left", "right")]
    model = importlib.import_module(package).Model(inputs, layers.Add()(inputs))
    message = r"`inputs` must fit the model\. Received: \[6, 2\], \[6, 2\] of 'left', 'rigth'; [TM]"
    pair = {"left": INPUTS[:, :2], "rigth": INPUTS[:, 2:4]}
    check(lambda: tp.diagnostics.diagnose(model, pair, budget="cheap"), message)


@pytest.mark.parametrize(
    ("targets", "loss", "message"),
    [
        (
            TARGETS[:4],
            "mse",
            r"`targets` must have an entry for each of the 6 inputs\. Received: shapes \[4, 3\]",
        ),
        (
            TARGETS[:, :2],
            "mse",
            r"`targets` must be of shape \[None, 3\], as the outputs\. Received: \[6, 2\]$",
        ),
        (TARGETS[:, 0], "mae", r"`targets` must be of shape \[None, 3\], as the outputs\. Received: \[6\]$"),
        (TARGETS[:, None], "huber", r"`targets` must be of shape \[None, 3\], .* Received: \[6, 1, 3\]$"),
        (
            [TARGETS, TARGETS],
            "mse",
            r"`targets` must be of shape \[None, 3\], .* Received: \[6, 3\], \[6, 3\]$",
        ),
        (TEXTS, "mse", r"`targets` must be an array of numbers\. Received: texts of shape \[6, 5\]$"),
        (OBJECTS, "mse", r"`targets` must be an array of numbers\. Received: object of shape \[6, 5\]$"),
        (TARGETS * np.nan, "mse", r"`targets` must be finite\. Received: 18 of 18 that are not$"),
        (
            TARGETS[:0],
            "mse",
            r"`targets` must have an entry for each of the 6 inputs\. Received: shapes \[0, 3\]",
        ),
        (TARGETS, "msee", r"`loss` must be the name of a Keras loss\. Received: 'msee'\. Did you mean 'mse'"),
    ],
)
def test_wrong_targets(targets, loss, message, model):
    check(lambda: tp.diagnostics.diagnose(model, INPUTS, targets, loss, "cheap"), message)


def test_labels_of_a_sparse_loss_are_of_no_shape_of_the_outputs(model):
    labels = np.array([0, 1, 2, 0, 1, 2])
    tp.diagnostics.diagnose(model, INPUTS, labels, "sparse_categorical_crossentropy", quantities=[])


def test_wrong_models(model):
    unbuilt = keras.Sequential([keras.layers.Dense(1)])
    probe = tp.probing.Probe(num_targets=1, num_steps=1, baselines=0)
    no_keras = r"`model` must be a Keras model\. Received: "
    for wrong in (None, 5, keras.Model, lambda inputs: inputs):
        check(lambda wrong=wrong: tp.diagnostics.diagnose(wrong, INPUTS), no_keras, TypeError)
        check(lambda wrong=wrong: tp.diagnostics.UnitMap(wrong), no_keras, TypeError)
        check(lambda wrong=wrong: tp.mitigations.WeightDecay().build(wrong, None, 0), no_keras, TypeError)
        check(
            lambda wrong=wrong: PlasticModel(wrong),
            r"`network` must be a model of the Keras in use",
            TypeError,
        )
        check(lambda wrong=wrong: probe.measure(wrong, INPUTS), r"`model` must be built and have weights\.")
    check(lambda: tp.diagnostics.diagnose(unbuilt, INPUTS), r"`model` must be built, by a call on a batch\.")
    check(lambda: probe.measure(unbuilt, INPUTS), r"`model` must be built and have weights\. ")
    without = keras.Sequential([keras.layers.ReLU()])
    without(INPUTS)
    check(lambda: probe.measure(without, INPUTS), r"`model` must be built and have weights\. ")
    with_none = r"`variables` must hold at least one variable\. Received: \[\]"
    check(lambda: tp.linalg.HessianOperator(lambda: 0.0, without.trainable_variables), with_none)


@pytest.mark.parametrize("name", ["eigsh", "trace", "diagonal", "norms", "spectral_density", "lanczos"])
@pytest.mark.parametrize("wrong", [None, 5, np.eye(3), tp.linalg.HessianOperator])
def test_a_solver_refuses_what_is_no_operator(name, wrong):
    steps = {"num_steps": 2} if name == "lanczos" else {}
    message = (
        r"`operator` must have `shape`, `dtype` and `matvec`, such as HessianOperator\(loss, variables\)\. "
    )
    check(lambda: getattr(tp.linalg, name)(wrong, **steps), message, TypeError)


@pytest.mark.parametrize(
    ("seed", "message"),
    [
        (-1, r"`seed` must be an integer of at least 0\. Received: -1$"),
        (HUGE_SEED, rf"`seed` must be at most {2**63 - 1}\. Received: {HUGE_SEED}$"),
        (1.5, r"`seed` must be an integer\. Received: 1\.5$"),
        (True, r"`seed` must be an integer\. Received: True$"),
        ("x", r"`seed` must be an integer\. Received: 'x'$"),
        (None, r"`seed` must be an integer\. Received: None$"),
    ],
)
def test_wrong_seeds(seed, message, operator, model):
    digits = tp.tasks.load_dataset("digits")
    snapshot = tp.diagnostics.Snapshot(model, INPUTS, TARGETS, "mse")
    for call in (
        *(
            lambda name=name: getattr(tp.linalg, name)(operator, seed=seed)
            for name in ("eigsh", "trace", "diagonal", "norms", "spectral_density")
        ),
        lambda: tp.linalg.lanczos(operator, 2, seed=seed),
        lambda: tp.diagnostics.sharpness(snapshot, seed=seed),
        lambda: tp.diagnostics.ntk_rank(snapshot, seed=seed),
        lambda: tp.diagnostics.noisy_self_targets(model, INPUTS, seed=seed),
        *((lambda: tp.probing.Probe(seed=seed),) if seed is not None else ()),  # None: that of the run
        lambda: tp.networks.mlp(2, seed=seed),
        lambda: tp.tasks.choose_examples(digits, 5, seed),
        lambda: tp.layers.SteppedDropout(0.5, seed),
        lambda: tp.layers.SpectralDense(2, seed=seed),
        lambda: PlasticModel(model).compile("sgd", "mse", seed=seed),
    ):
        check(call, message, (TypeError, ValueError))


def test_wrong_operators(model, operator):
    def loss(inputs, targets):
        return tf.reduce_mean((model(inputs) - targets) ** 2)

    def hessian(*arguments, **keywords):
        return lambda: tp.linalg.HessianOperator(loss, *arguments, **keywords)

    variables = model.trainable_variables
    a_list = r"`variables` must be a list of variables, such as model\.trainable_variables\. Received: "
    for wrong in (None, 5, tf.Variable, model, "kernel"):
        check(hessian(wrong), a_list, TypeError)
    check(
        hessian(variables, (INPUTS, TARGETS), mode="reverse-over-revers"),
        r"`mode` must be one of .* Did you mean 'revers",
    )
    for wrong in (5, "mse", None, float):
        check(
            lambda wrong=wrong: tp.linalg.HessianOperator(wrong, variables),
            r"`loss_fn` must be a f",
            TypeError,
        )
    from_model = functools.partial(tp.linalg.HessianOperator.from_model, model, INPUTS, TARGETS)
    two = r"`loss` must take 2 arguments, targets and outputs\. Received: a function for which "
    check(lambda: from_model(lambda outputs: outputs), two, TypeError)
    check(
        lambda: from_model("mse", include_model_losses="no"), r"`include_model_losses` must be one of True, F"
    )
    for wrong in (5, None, "x", np.nan):
        check(
            lambda wrong=wrong: tp.linalg.flatten(wrong), r"`tensors` must be a list of tensors\.", TypeError
        )
        check(
            lambda wrong=wrong: tp.linalg.unflatten(tf.zeros([1]), wrong),
            r"`variables` must be a list of variables\. Received: ",
            TypeError,
        )
    check(hessian(variables, (TEXTS, TARGETS)), r"`data` must be an array of numbers\. Received: texts")
    check(hessian(variables, (INPUTS, TARGETS[:3])), r"`data` must be arrays of one length")
    misfit = hessian(variables, (INPUTS[:, :4], TARGETS))
    check(
        lambda: tp.linalg.eigsh(misfit()),
        r"`loss_fn` must fit the data\. Received: .*\[6, 4\].*; .*expected shap",
    )
    check(lambda: operator.matvec(None), r"`vector` must be an array of numbers\. Received: ")
    check(lambda: operator.matvec("x"), r"`vector` must be an array of numbers\. Received: texts")
    check(lambda: operator.matmat(None), r"`vectors` must be an array of numbers\. Received: ")
    check(lambda: tp.linalg.eigsh(operator, which="la"), r"`which` must be one of .* Did you mean 'LA'")


def test_wrong_parts_of_a_snapshot(model):
    def diagnose(**keywords):
        return lambda: tp.diagnostics.diagnose(model, INPUTS, TARGETS, "mse", "cheap", **keywords)

    check(
        diagnose(optimizer="adam"),
        r"`optimizer` must be the optimizer that trains the model, .*'adam'",
        TypeError,
    )
    check(
        diagnose(optimizer=keras.optimizers.SGD), r"`optimizer` must be the optimizer that trains", TypeError
    )
    for wrong in (5, np.nan, [], {}, object(), lambda: 1):
        check(diagnose(optimizer=wrong), r"`optimizer` must be the optimizer that trains", TypeError)
    check(diagnose(reference=5), r"`reference` must be a Reference, such as .*Received: 5", TypeError)
    check(
        diagnose(sample_weight=np.full(6, np.nan)), r"`sample_weight` must be finite\. Received: 6 of 6 that"
    )
    check(diagnose(class_weight=5), r"`class_weight` must be a dictionary, such as \{0: 2\.0\}\. Received: 5")
    check(
        diagnose(include_model_losses="x"),
        r"`include_model_losses` must be one of True, False\. Received: 'x'",
    )
    check(diagnose(quantities=["dead_units"]), r"`quantities` must hold functions of a snapshot\.", TypeError)
    check(
        lambda: tp.diagnostics.diagnose(model, INPUTS, budget="ful"),
        r"`budget` must .* Did you mean 'full'\?",
    )
    two = r"`loss` must take 2 arguments, targets and outputs\. Received: a function for which "
    check(lambda: tp.diagnostics.Snapshot(model, INPUTS, TARGETS, lambda: 1.0), two, TypeError)
    for wrong in (5, None, "x", model):
        check(
            lambda wrong=wrong: tp.diagnostics.virtual_step(wrong), r"`snapshot` must be a Snapsh", TypeError
        )
        check(
            lambda wrong=wrong: tp.diagnostics.gram_matrices(wrong), r"`snapshot` must be a Snap", TypeError
        )
    check(lambda: tp.diagnostics.UnitMap(model, 5), r"`units` must be a dictionary, such as ")
    check(
        lambda: tp.diagnostics.UnitMap(model, {"hidden1": 5}), r"`units` must hold Units by names", TypeError
    )
    no_snapshot = r"`snapshot` must be a Snapshot of a model\. Received: "
    check(lambda: tp.diagnostics.measure(model, [tp.diagnostics.dead_units]), no_snapshot, TypeError)
    check(lambda: tp.diagnostics.Reference.of(model), no_snapshot, TypeError)
    check(
        lambda: PlasticityDiagnostics(None),
        r"`x_probe` must be a batch of the model's inputs\. Received: None",
    )
    check(
        PlasticityDiagnostics(NAN, model=model).on_train_begin,
        r"`x_probe` must be finite\. Received: 1 of 30",
    )


def test_wrong_parts_of_a_plastic_model(model):
    def compiled(optimizer="sgd", **keywords):
        return lambda: PlasticModel(model).compile(optimizer, "mse", **keywords)

    check(compiled("sdg"), r"`optimizer` must be .* of Keras\. Received: 'sdg'\. Did you mean 'sgd'\?$")
    check(compiled(keras.optimizers.SGD), r"`optimizer` must be an optimizer or the name of one", TypeError)
    check(compiled(mitigations=tp.mitigations.WeightDecay()), r"`mitigations` must be a list, such as ")
    check(compiled(mitigations=[tp.mitigations.WeightDecay]), r"`mitigations` must hold mitigations")
    check(compiled(step_statistics=[tp.diagnostics.sharpness]), r"`step_statistics` must hold fu", TypeError)


def test_wrong_layers():
    integers = r"`axis` must be an integer or a list of them\. Received: "
    check(lambda: tp.layers.RMSNormalization(axis="x"), integers)
    check(lambda: tp.layers.RMSNormalization(axis=1.5), integers)
    check(lambda: tp.layers.RMSNormalization(axis=[1, None]), integers)
    check(lambda: tp.layers.SpectralDense("x"), r"`units` must be an integer of at least 1\. Received: 'x'$")
    check(
        lambda: tp.layers.SpectralConv2D(0, 3), r"`filters` must be an integer of at least 1\. Received: 0$"
    )
    rank = r"`inputs` must be of shape \[batch, positions, 3 \* features\]\. Received: \[2, 6\]"
    check(lambda: tp.layers.SelfAttention(2).build((2, 6)), rank)
    initializer = r"` must be an initializer or the name of one of Keras\. Received: "
    for wrong in (5, "glorot\n", {}, []):
        for name, make in (
            ("initializer", tp.layers.ClassToken),
            ("initializer", tp.layers.PositionEmbedding),
            ("initializer", tp.layers.SharedBias),
            ("kernel_initializer", functools.partial(tp.layers.ReplicatedDense, 2)),
            ("bias_initializer", functools.partial(tp.layers.ReplicatedDense, 2)),
        ):
            check(functools.partial(make, **{name: wrong}), f"`{name}{initializer}")
    for wrong in (0, -1, 2.5, "x", True):
        check(
            lambda wrong=wrong: tp.layers.ReplicatedDense(wrong), r"`units` must be an integer of at least 1"
        )
    for wrong in (2, "yes", None):
        check(
            lambda wrong=wrong: tp.layers.RMSNormalization(scale=wrong), r"`scale` must be one of True, False"
        )
