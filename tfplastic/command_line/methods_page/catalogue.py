"""The catalogue of methods: every mitigation, optimizer, layer and option that keeps a network plastic."""

import functools
import inspect
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from tfplastic import layers, mitigations, networks, optimizers
from tfplastic._shared_arguments import attribute_texts
from tfplastic.configuration import gin_files
from tfplastic.mitigations import Mitigation
from tfplastic.networks import activations
from tfplastic.networks.parts import HiddenLayers

FACTS: tuple[str, ...] = ("Rule", "Defaults", "Source", "Departures")
"""Sections of a method's docstring, each of which the page has a line for."""

KINDS: tuple[str, ...] = (
    "Penalties",
    "Gradients",
    "Changes of weights",
    "Resets of weights",
    "Optimizer state",
    "Optimizers",
    "Layers and activations",
    "Targets",
    "Options of networks",
)
"""Kinds of methods, in the order of the page."""

_BY_TURN = {400: "Resets of weights", 500: "Optimizer state"}
_OPTIONS = ("norm", "spectral_norm_layers", "trim_width")
_SECTION = re.compile(r"^({}):(.*(?:\n+[ ]+\S.*)*)", re.MULTILINE)
_FOLDERS = "agents", "mitigations", "networks", "optimizers"


class Method(NamedTuple):
    """A method of the catalogue.

    Attributes:
        name: name under which it is found, of a class, a function or an argument.
        kind: kind of method, of `KINDS`.
        thing: class or function; of an option, its text.
        gin_files: paths of the gin files that choose it, from the root of the repository.
    """

    name: str
    kind: str
    thing: Any
    gin_files: tuple[str, ...]

    @property
    def path(self) -> str:
        """Its name for Python."""
        if isinstance(self.thing, str):
            return f"tp.networks.mlp({self.name}=...)"
        return f"tp.{self.thing.__module__.split('.')[1]}.{self.name}"

    @property
    def summary(self) -> str:
        """First sentence of its documentation."""
        if isinstance(self.thing, str):
            return "Argument of `mlp` and of the other builders of networks."
        return (inspect.getdoc(self.thing) or "").partition("\n")[0]


def catalogue() -> list[Method]:
    """Returns all methods of the package, by kind and then by name."""
    found = [*_mitigations(), *_optimizers(), *_layers(), *_targets(), *_options()]
    return sorted(found, key=lambda each: (KINDS.index(each.kind), each.name.lower()))


def facts_of(thing: Any, names: tuple[str, ...] = FACTS) -> dict[str, str]:
    """Returns sections of a docstring as one line each, {section: text}; '' where missing.

    Args:
        thing: class or function.
        names: names of the sections, whose further lines are indented.
    """
    found = dict.fromkeys(names, "")
    pattern = _SECTION.pattern.format("|".join(names))
    for match in re.finditer(pattern, inspect.getdoc(thing) or "", re.MULTILINE):
        found[match[1]] = " ".join(match[2].split())
    return found


def _mitigations() -> list[Method]:
    public = [getattr(mitigations, name) for name in mitigations.__all__]
    classes = [
        each
        for each in public
        if inspect.isclass(each) and issubclass(each, Mitigation) and each is not Mitigation
    ]
    return [
        Method(each.__name__, _kind(each), each, _with(rf"mitigations\.\w+ = @(?:\w+/)?{each.__name__}\("))
        for each in classes
    ]


def _kind(mitigation: type[Mitigation]) -> str:
    if mitigation.adds_penalty:
        return "Penalties"
    if mitigation.transforms_gradients:
        return "Gradients"
    return _BY_TURN.get(mitigation.turn, "Changes of weights")


def _optimizers() -> list[Method]:
    public = [getattr(optimizers, name) for name in optimizers.__all__]
    makers = [each for each in public if inspect.isfunction(each) and facts_of(each)["Rule"]]
    return [
        Method(each.__name__, "Optimizers", each, _with(rf"train\.optimizer = @{each.__name__}\("))
        for each in makers
    ]


def _layers() -> list[Method]:
    public = [getattr(layers, name) for name in layers.__all__]
    chosen = {each: rf"\w+\.activation = '{name}'" for name, each in activations.LAYERS.items()}
    chosen |= dict.fromkeys([layers.SpectralConv2D, layers.SpectralDense], r"\w+\.spectral_norm_layers = ")
    chosen |= {layers.NoisyDense: r"\w+\.noise = [\d.]"}
    chosen |= {layers.RMSNormalization: r"\w+\.norm = 'rms'"}
    return [
        Method(each.__name__, "Layers and activations", each, _with(chosen[each]))
        for each in public
        if inspect.isclass(each) and facts_of(each)["Rule"]
    ]


def _targets() -> list[Method]:
    public = [getattr(networks, name) for name in networks.__all__]
    encodings = [each for each in public if inspect.isfunction(each) and facts_of(each)["Rule"]]
    return [Method(each.__name__, "Targets", each, _with(rf"\S+ = @{each.__name__}")) for each in encodings]


def _options() -> list[Method]:
    texts = {
        name: " ".join(entry.split()).removeprefix(f"{name}: ")
        for name, entry in attribute_texts(HiddenLayers.__doc__ or "").items()
    }
    return [
        Method(each, "Options of networks", _option_text(each, texts), _with(rf"\w+\.{each} = "))
        for each in _OPTIONS
    ]


def _option_text(option: str, texts: Mapping[str, str]) -> str:
    """Returns the text of an argument with its own settings, such as `norm_epsilon` of `norm`."""
    settings = [f"`{name}`: {text}" for name, text in texts.items() if name.startswith(f"{option}_")]
    return " ".join([texts[option], *settings])


@functools.cache
def gin_texts() -> dict[str, str]:
    """Returns {path: text} of the gin files that choose a method."""
    root = gin_files.root()
    paths = [path for folder in _FOLDERS for path in sorted((root / "gin" / folder).glob("*.gin"))]
    return {path.relative_to(root).as_posix(): path.read_text("utf-8") for path in paths}


def _with(pattern: str) -> tuple[str, ...]:
    """Returns the paths of the files that have a line which begins with the pattern."""
    return tuple(path for path, text in gin_texts().items() if re.search(rf"^{pattern}", text, re.MULTILINE))
