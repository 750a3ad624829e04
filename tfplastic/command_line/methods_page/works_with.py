"""The places where a method works, by its class and by trials on small networks."""

import ast
import functools
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

from tfplastic import networks
from tfplastic._keras import keras
from tfplastic._text.lines import one_line
from tfplastic.callbacks.applied_mitigation import unfit
from tfplastic.callbacks.apply_mitigation import SUPPLIED
from tfplastic.command_line.methods_page.catalogue import Method, facts_of, gin_texts
from tfplastic.mitigations import Mitigation
from tfplastic.optimizers import adam


def _residual_network() -> Any:
    inputs = keras.Input((6, 6, 1))
    first = keras.layers.Conv2D(4, 3, activation="relu")(inputs)
    inner = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(first)
    added = keras.layers.Add()([first, keras.layers.Conv2D(4, 3, padding="same")(inner)])
    features = keras.layers.Flatten()(keras.layers.ReLU()(added))
    return keras.Model(inputs, keras.layers.Dense(3)(features))


NETWORKS: dict[str, Callable[[], Any]] = {
    "dense layers": lambda: networks.mlp(3, (6, 5), input_shape=(4,)),
    "convolutions": lambda: networks.cnn(
        3, input_shape=(6, 6, 1), filters=(4, 4), kernel_sizes=(3, 3), hidden=(5,)
    ),
    "layer normalization": lambda: networks.mlp(3, (6, 5), input_shape=(4,), norm="layer"),
    "batch normalization": lambda: networks.cnn(
        3, input_shape=(6, 6, 1), filters=(4,), kernel_sizes=(3,), strides=(1,), hidden=(5,), norm="batch"
    ),
    "residual blocks": _residual_network,
    "attention": lambda: networks.vit(
        3, input_shape=(6, 6, 1), model_dim=4, feed_forward_dim=6, num_heads=2, norm="layer"
    ),
}
"""{part of a network: function that makes a small network with it}."""

_NEEDS_DATA = {"data", "further_batch"}
_WITHOUT_BOUNDARIES = "with an argument in place of the task's boundaries, which `fit` does not know"


def remarks(method: Method) -> Iterator[tuple[str, str]]:
    """Yields (heading, text) of the places where a method works.

    Args:
        method: method of the catalogue.
    """
    if inspect.isclass(method.thing) and issubclass(method.thing, Mitigation):
        yield from _of_mitigation(make(method))
    elif method.kind == "Optimizers":
        yield from _of_optimizer(make(method))
    elif not isinstance(method.thing, str):
        yield "Works with", facts_of(method.thing, ("Works with",))["Works with"]


def make(method: Method) -> Any:
    """Returns a mitigation or an optimizer, with required arguments as in its gin file, or Adam as `base`.

    Args:
        method: method of the catalogue.
    """
    signature = inspect.signature(method.thing).parameters
    required = [name for name, each in signature.items() if each.default is each.empty]
    return method.thing(**{name: _given(method, name) for name in required})


def _given(method: Method, argument: str) -> Any:
    for path in method.gin_files:
        pattern = rf"^(?:\w+/)?{method.name}\.{argument} = (\S+)"
        if match := re.search(pattern, gin_texts()[path], re.MULTILINE):
            return adam() if match[1].startswith("@") else ast.literal_eval(match[1])
    raise ValueError(f"`{argument}` must be bound in a gin file of {method.name}. Received: no such binding")


def _of_mitigation(mitigation: Mitigation) -> Iterator[tuple[str, str]]:
    yield "Acts", _acts(mitigation)
    outputs = facts_of(type(mitigation), ("Outputs",))["Outputs"]
    yield "Outputs at a call", outputs or "unchanged; it has a part in the update alone."
    yield "`PlasticModel.fit`", _fit(mitigation)
    yield "`ApplyMitigation`", _callback(mitigation)
    is_local = not (mitigation.reads or mitigation.history)
    yield "Several replicas", "yes." if is_local else "no: it reads the step's context."
    yield "Networks", _networks(mitigation)


def _acts(mitigation: Mitigation) -> str:
    parts = [
        "adds a penalty" if mitigation.adds_penalty else "",
        "transforms gradients" if mitigation.transforms_gradients else "",
        _after(mitigation) if mitigation.acts_after_update else "",
    ]
    reads = ", ".join(f"`{name}`" for name in sorted(mitigation.reads))
    older = f"weights of {mitigation.history} updates ago" if mitigation.history else ""
    read = " and ".join(each for each in (reads, older) if each)
    return f"{'; '.join(each for each in parts if each)}{f'; reads {read}' if read else ''}."


def _after(mitigation: Mitigation) -> str:
    if mitigation.period is None:
        return "after updates at boundaries of the task, or every `period` steps"
    steps = "update" if mitigation.period == 1 else f"{mitigation.period:,} updates"
    return f"after every {steps}" if mitigation.period == 1 else f"after every {steps} by default"


def _fit(mitigation: Mitigation) -> str:
    if mitigation.acts_after_update and mitigation.period is None:
        condition = "with a `period`, because `fit` knows no boundaries"
    elif "at_boundary" in mitigation.reads:
        condition = _WITHOUT_BOUNDARIES
    else:
        condition = ""
    if _NEEDS_DATA & set(mitigation.reads):
        data = "with `compile(..., data=(x, y))`"
        condition = f"{condition}, and {data}" if condition else data
    return f"yes, {condition}." if condition else "yes."


def _callback(mitigation: Mitigation) -> str:
    reason = unfit(mitigation, SUPPLIED)
    if reason and not unfit(mitigation, (*SUPPLIED, "at_boundary")):
        return f"yes, {_WITHOUT_BOUNDARIES}."
    if not reason and mitigation.period is None:
        return "yes, with a `period`."
    return f"no: it {reason}." if reason else "yes."


@functools.cache
def _built() -> dict[str, Any]:
    return {name: build() for name, build in NETWORKS.items()}


def _networks(mitigation: Mitigation) -> str:
    """Returns the reasons for which a mitigation refuses small networks when it is built."""
    reasons = []
    for name, model in _built().items():
        optimizer = adam()
        optimizer.build(model.trainable_variables)
        try:
            mitigation.build(mitigation.extend_network(model), optimizer, 0)
        except ValueError as error:
            reasons.append(f"{name}: {one_line(error)}")
    return f"not those with {'; '.join(reasons)}." if reasons else "all of these kinds."


def _of_optimizer(optimizer: Any) -> Iterator[tuple[str, str]]:
    pure = optimizer.pure
    slots = ", ".join(f"`{name}`" for name in pure.slot_names)
    shared = ", ".join(f"`{name}`" for name in pure.shared_shapes)
    of_all = f"; of all weights together {shared}" if shared else ""
    yield "State", f"{f'slots {slots}, which resets of weights zero' if slots else 'no slots'}{of_all}."
    yield (
        "Works with",
        "`fit` of Keras 2 and 3, `PlasticModel.fit`, streams, MDPs and Atari; every mitigation.",
    )
