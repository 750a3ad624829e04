"""The objects that an untrusted model file may name. Keras would call anything that it names.

A file's config names classes and functions by module and name. Keras 2 imports any module for it; either
Keras finds functions of its own that read files. So the config is checked before it is loaded: each name
in it must be a layer, loss, metric, initializer, regularizer, constraint, optimizer, operation or activation
of Keras or of this library, or of a module that the user trusts.
"""

import builtins
import importlib
import itertools
import sys
from collections.abc import Iterator, Sequence
from types import FunctionType
from typing import Any

from tfplastic._text.lines import one_line
from tfplastic.command_line.diagnose.keras_files import special_layers, user_modules

_OURS = "tfplastic"
_CLASSES_IN = (
    "layers",
    "models",
    "losses",
    "metrics",
    "initializers",
    "regularizers",
    "constraints",
    "optimizers",
    "optimizers.schedules",
    "optimizers.legacy",
    "dtype_policies",
    "mixed_precision",
    "quantizers",
)
_FUNCTIONS_IN = ("activations", "losses", "metrics", "initializers", "regularizers", "constraints", "ops")
_IN_BUILTINS = _FUNCTIONS_IN[:-1]  # where Keras looks for functions whose module is 'builtins'
_NO_PARTS_OF_MODELS = ("deserialize", "get", "serialize")
_DATA = (
    "__keras_tensor__",
    "__tensor__",
    "__numpy__",
    "__bytes__",
    "__ellipsis__",
    "__slice__",
    "__tuple__",
    "TensorShape",
)  # not looked up by Keras
_NOT_MADE = ("compile_config", "training_config")  # but for an optimizer, models being loaded uncompiled
_FUNCTION, _UNKNOWN = "function", "nothing of Keras or tfplastic goes by that name"


class AllowList:
    """The names that a config may hold.

    Args:
        keras: the module of the Keras that loads the model.
        trusted: modules of the user's, which are imported; they may be named, and all below them.

    Raises:
        UsageError: one of these cannot be imported.
    """

    def __init__(self, keras: Any, trusted: Sequence[str] = ()):
        self._keras = keras
        self._trusted = tuple(trusted)
        for name in trusted:
            user_modules.import_module(name)
        self._classes = _public(keras, _CLASSES_IN, type)
        for name, found in _unexported(keras).items():
            self._classes.setdefault(name, []).extend(found)
        self._functions = _public(keras, _FUNCTIONS_IN, FunctionType)
        self._in_builtins = _public(keras, _IN_BUILTINS, FunctionType)
        everything = itertools.chain(*self._classes.values(), *self._functions.values())
        self._allowed = {id(each) for each in everything}

    def first_refused(self, config: Any) -> str:
        """Returns which name in a config is refused, where and why; '' where none is.

        Args:
            config: config of a model, parsed from JSON.
        """
        for place, entry in _entries(config):
            text = self._refused(entry, not place.startswith(_NOT_MADE) or ".optimizer" in place)
            if text:
                return f"{place or 'its root'} names {text}"
        return ""

    def _refused(self, entry: dict[str, Any], is_made: bool) -> str:
        """Describes the refused part of an object's entry, '' where there is none."""
        name, module = entry["class_name"], entry.get("module")
        if isinstance(name, str) and name in _DATA:
            return ""
        config, registered = entry.get("config"), entry.get("registered_name")
        is_function = name == _FUNCTION
        names = [config if is_function else name, registered]
        names = [each for each in names if each is not None and each != _FUNCTION]
        if not names or not all(isinstance(each, str) for each in (*names, module or "")):
            return f"an object in no form of Keras, {one_line(str(entry))[:60]!r}"
        shown = f"{module}.{names[0]}" if module else names[0]
        if not self._is_known(module) or (_root(module or "") in _KERAS_NAMES and "." in names[0]):
            return f"{shown!r}, {self._why(module)}"
        special = special_layers.refused(name, config)
        found = [list(self._found(module, each, is_function)) for each in names]
        if not special and not found[0]:
            # Without a module, Keras finds what is registered, and nothing else.
            return "" if not is_made and module in (None, "builtins") else f"{shown!r}, {self._why(module)}"
        for each in itertools.chain(*found):
            bases = [base.__name__ for base in getattr(each, "__mro__", ())]
            special = special or next(
                filter(None, (special_layers.refused(base, config) for base in bases)), ""
            )
            special = special or special_layers.hidden(each)
            if not special and not self._is_allowed(each):
                special = self._why(module)
        return f"{shown!r}, {special}" if special else ""

    def _is_known(self, module: str | None) -> bool:
        return (
            module in (None, "builtins")
            or _root(module) in (_OURS, *_KERAS_NAMES)
            or self._is_trusted(module)
        )

    def _why(self, module: str | None) -> str:
        if module in (None, "builtins") or _root(str(module)) in (_OURS, *_KERAS_NAMES):
            return f"{_UNKNOWN}; --trust_module=NAME adds yours" if module is None else _UNKNOWN
        return f"which is of neither Keras nor tfplastic; --trust_module={module} allows it"

    def _is_allowed(self, found: Any) -> bool:
        if id(found) in self._allowed:
            return True
        module = str(getattr(found, "__module__", ""))
        if self._is_trusted(module):
            return True
        return _root(module) == _OURS and isinstance(found, type) and issubclass(found, self._bases())

    def _is_trusted(self, module: str) -> bool:
        return any(module == name or module.startswith(f"{name}.") for name in self._trusted)

    def _bases(self) -> tuple[type, ...]:
        keras = self._keras
        return (keras.layers.Layer, keras.optimizers.Optimizer, keras.losses.Loss, keras.metrics.Metric)

    def _found(self, module: str | None, name: str, is_function: bool) -> Iterator[Any]:
        """Yields everything that Keras might find under a name."""
        registered = self._keras.saving.get_custom_objects()
        yield from (value for key, value in registered.items() if key == name or key.endswith(f">{name}"))
        if module is None:
            yield from (self._functions if is_function else self._classes).get(name, ())
        elif module == "builtins":
            known = self._in_builtins.get(name, []) if is_function else []
            yield from known or [each for each in [vars(builtins).get(name)] if each is not None]
        elif _root(module) in _KERAS_NAMES:
            yield from self._in_keras(module, name)
        elif _root(module) == _OURS or self._is_trusted(module):
            yield from _in_module(module, name, is_trusted=self._is_trusted(module))

    def _in_keras(self, module: str, name: str) -> Iterator[Any]:
        """Returns the objects of a Keras module: by the public path, and in the file of that name."""
        parts = module.split(".")[1:]
        public: Any = self._keras
        for part in parts:
            public = getattr(public, part, None)
        source = sys.modules.get(".".join([self._keras.__name__, *parts]))
        found = [getattr(place, name, None) for place in (public, source)]
        yield from (each for each in found if each is not None)


_KERAS_NAMES = ("keras", "tf_keras")


def _root(module: str) -> str:
    return module.partition(".")[0]


def _entries(config: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields every dictionary below `config` from which an object would be made, with its place."""
    remaining: list[tuple[str, Any]] = [("", config)]
    while remaining:
        place, value = remaining.pop()
        if isinstance(value, dict):
            if "class_name" in value:
                yield place, value
            inner = [(f"{place}.{key}" if place else str(key), each) for key, each in value.items()]
        elif isinstance(value, list):
            inner = [(f"{place}[{index}]", each) for index, each in enumerate(value)]
        else:
            continue
        remaining.extend(reversed(inner))


def _public(keras: Any, namespaces: Sequence[str], kind: type) -> dict[str, list[Any]]:
    """Returns {name: objects} that modules of Keras export."""
    found: dict[str, list[Any]] = {}
    for namespace in namespaces:
        place: Any = keras
        for part in namespace.split("."):
            place = getattr(place, part, None)
        for name, value in vars(place).items() if place is not None else ():
            if (
                isinstance(value, kind)
                and name not in _NO_PARTS_OF_MODELS
                and not special_layers.hidden(value)
            ):
                found.setdefault(name, []).append(value)
    return found


def _unexported(keras: Any) -> dict[str, list[type]]:
    """Returns {name: classes} of unexported classes in configs: functional models, operations."""
    if keras.__name__ == "tf_keras":
        places = ["tf_keras.src.engine.functional", "tf_keras.src.layers.core.tf_op_layer"]
        names = ["Functional", *special_layers.TENSORFLOW_OPERATIONS]
        base: Any = keras.layers.Layer
    else:
        places = ["keras.src.models.functional"]
        places += [name for name in sys.modules if name.startswith("keras.src.ops.")]
        names = None
        base = keras.Operation
    found: dict[str, list[type]] = {}
    for value in (value for place in places for value in vars(importlib.import_module(place)).values()):
        if isinstance(value, type) and issubclass(value, base) and (not names or value.__name__ in names):
            found.setdefault(value.__name__, []).append(value)
    extra = [keras.mixed_precision.Policy] if keras.__name__ == "tf_keras" else [keras.DTypePolicy]
    for value in [*extra, getattr(getattr(keras, "random", None), "SeedGenerator", None)]:
        if value is not None:
            found.setdefault(value.__name__, []).append(value)
    return found


def _in_module(module: str, name: str, is_trusted: bool) -> Iterator[Any]:
    place: Any = sys.modules.get(module)
    if place is None and is_trusted:
        place = user_modules.import_module(module)
    outer, _, inner = name.partition(".")
    found = vars(place).get(outer) if place is not None else None
    found = getattr(found, inner, None) if inner else found
    if found is not None:
        yield found
