"""The one table of names that changed, for all that people keep: run directories, gin files and Python code.

Old names are taken for one release. `gin_text` applies the table to the text of gin files.
"""

import functools
import importlib
import inspect
import pathlib
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, TypeVar

from tfplastic._text.near_names import near_matches

Class = TypeVar("Class", bound=type)

QUANTITIES: Mapping[str, str] = {
    "approximate_rank": "feature_approximate_rank",
    "effective_rank": "feature_effective_rank",
    "numerical_rank": "feature_numerical_rank",
    "srank": "feature_srank",
    "stable_rank": "feature_stable_rank",
    "linearised_units": "linearized_units",  # American spelling, as all of Keras
    "spectral_density": "hessian_spectral_density",  # linalg has a function of the old name
}
"""{old quantity: new quantity}: in tags and array folders, in gin and in Python."""

STEP_STATISTICS: Mapping[str, str] = {"dead_fraction": "dead_units", "dormant_fraction": "dormant_units"}
"""Second names of quantities, which take activations themselves: in tags, in gin and in Python."""

ARGUMENTS: Mapping[str, Mapping[str, str]] = {
    "train": {"program": "compiler"},
    "Probe": {"program": "compiler"},
    "AtariTask": {"agent_steps_per_gradient_step": "replay_ratio"},
    "RunRoot": {"place": "location"},
}
"""{configurable of gin, or class: {argument: argument}}."""

RECIPROCALS = frozenset([("AtariTask", "agent_steps_per_gradient_step")])
"""The old arguments, (configurable, argument), whose value was the reciprocal of the new one's."""

PYTHON: Mapping[str, Mapping[str, str]] = {
    "tfplastic.diagnostics": {**QUANTITIES, **STEP_STATISTICS, "Normalisation": "Normalization"},
    "tfplastic.diagnostics.ranks": {"feature_rank": "absolute_rank"},
    "tfplastic.diagnostics.units": {
        name: f"tfplastic.diagnostics.{name}"
        for name in ("active_units", "dead_units", "dormant_units", "linearized_units", "saturated_units")
    },
    "tfplastic.mitigations": {"FreshWeights": "WeightReinitializer"},
    "tfplastic.reports": {"human_normalised": "human_normalized"},
    "tfplastic.reports.page": {"Material": "ReportInput"},
    "tfplastic.reports.style": {"COLOURS": "COLORS"},
    "tfplastic.rl.atari": {"FinishedEpisode": "tfplastic.rl.playing.episodic_environment.FinishedEpisode"},
}
"""{module: {public name: public name}}; with its module where that is another one."""

MODULES: Mapping[str, str] = {
    "tfplastic.diagnostics.budgets": "tfplastic.diagnostics.declaration.budgets",
    "tfplastic.diagnostics.changes": "tfplastic.diagnostics.quantities.weight_changes",
    "tfplastic.diagnostics.curvature": "tfplastic.diagnostics.quantities.curvature",
    "tfplastic.diagnostics.example_gradients": "tfplastic.diagnostics.quantities.shared.example_gradients",
    "tfplastic.diagnostics.feature_ranks": "tfplastic.diagnostics.quantities.feature_ranks",
    "tfplastic.diagnostics.gradient_covariance": "tfplastic.diagnostics.quantities.gradient_angles",
    "tfplastic.diagnostics.gradient_noise": "tfplastic.diagnostics.quantities.gradient_noise",
    "tfplastic.diagnostics.gradients": "tfplastic.diagnostics.quantities.gradients",
    "tfplastic.diagnostics.kernel": "tfplastic.diagnostics.quantities.tangent_kernel",
    "tfplastic.diagnostics.next_update": "tfplastic.diagnostics.quantities.next_update",
    "tfplastic.diagnostics.pre_activations": "tfplastic.diagnostics.quantities.pre_activations",
    "tfplastic.diagnostics.quantities_page": "tfplastic.diagnostics.declaration.quantities_page",
    "tfplastic.diagnostics.quantity": "tfplastic.diagnostics.declaration.quantity",
    "tfplastic.diagnostics.self_targets": "tfplastic.diagnostics.objectives",
    "tfplastic.diagnostics.unit_map": "tfplastic.diagnostics.units.unit_map",
    "tfplastic.diagnostics.unit_slices": "tfplastic.diagnostics.units.unit_slices",
    "tfplastic.diagnostics.unit_statistics": "tfplastic.diagnostics.units.unit_statistics",
    "tfplastic.diagnostics.virtual_step": "tfplastic.diagnostics.quantities.shared.virtual_step",
    "tfplastic.diagnostics.weight_ranks": "tfplastic.diagnostics.quantities.weight_ranks",
    "tfplastic.diagnostics.weights": "tfplastic.diagnostics.quantities.weight_norms",
    "tfplastic.diagnostics.writing": "tfplastic.diagnostics.reporting.writing",
    "tfplastic.linalg.empirical_fisher": "tfplastic.linalg.operators.empirical_fisher",
    "tfplastic.linalg.gauss_newton": "tfplastic.linalg.operators.gauss_newton",
    "tfplastic.linalg.hessian": "tfplastic.linalg.operators.hessian",
    "tfplastic.linalg.ntk": "tfplastic.linalg.operators.ntk",
    "tfplastic.linalg.operator": "tfplastic.linalg.operators.operator",
    "tfplastic.reports.places": "tfplastic.reports.discovery",
    "tfplastic.rl.acting": "tfplastic.rl.agents.acting",
    "tfplastic.rl.agent_settings": "tfplastic.rl.agents.settings",
    "tfplastic.rl.atari_games": "tfplastic.rl.atari.games",
    "tfplastic.rl.atari_scores": "tfplastic.rl.atari.scores",
    "tfplastic.rl.c51_agent": "tfplastic.rl.agents.c51_agent",
    "tfplastic.rl.graph_replay": "tfplastic.rl.replay.graph_replay",
    "tfplastic.rl.q_network": "tfplastic.rl.agents.q_network",
    "tfplastic.rl.replay_segments": "tfplastic.rl.replay.segments",
    "tfplastic.rl.two_hot_agent": "tfplastic.rl.agents.two_hot_agent",
    "tfplastic.tasks.accuracy": "tfplastic.tasks.stream_parts.accuracy",
    "tfplastic.tasks.data_batches": "tfplastic.tasks.stream_parts.data_batches",
    "tfplastic.tasks.objectives": "tfplastic.tasks.stream_parts.objectives",
    "tfplastic.tasks.schedules": "tfplastic.tasks.stream_parts.schedules",
    "tfplastic.tasks.stream_state": "tfplastic.tasks.stream_parts.stream_state",
    "tfplastic.tasks.task_sizes": "tfplastic.tasks.stream_parts.task_sizes",
    "tfplastic.training.run_directory": "tfplastic.training.run.directory",
    **{
        f"tfplastic.{package}.{module}": f"tfplastic.{package}.{wing}.{module}"
        for package, wing, modules in (
            ("layers", "attention", "class_token position_embedding self_attention"),
            ("layers", "feature_pairs", "crelu deep_fourier"),
            ("mitigations", "constraints", "gradient_clipping normalize_and_project weight_clipping"),
            (
                "mitigations",
                "network_resets",
                "dash fire hare_and_tortoise plasticity_injection reset_last_layer reset_network"
                " reset_optimizer_state shrink_and_perturb",
            ),
            (
                "mitigations",
                "penalties",
                "c_chain infer l2_er l2_init parseval_regularization resampled_init spectral_regularization"
                " wasserstein_init weight_decay",
            ),
            (
                "mitigations",
                "unit_resets",
                "continual_backprop grama partial_resets redo self_normalized_resets unit_reset",
            ),
            ("reports", "statistics", "atari_scores falsification"),
            ("rl", "playing", "episodic_environment evaluation game_protocol player"),
            ("training.events", "measurements", "backward_transfer replicate_scores"),
        )
        for module in modules.split()
    },
}
"""{module with public names: {old name: name}}; `_renames.modules` accepts the old ones."""

GIN_FILES: Mapping[str, Sequence[str]] = {
    "gin/atari_c51_ln.gin": ("gin/atari_c51.gin", "gin/networks/nature_dqn_ln.gin"),
    **{
        f"gin/{task}_{added}.gin": (f"gin/{task}.gin", f"gin/{folder}/{file}.gin")
        for task, network in {
            "mdp_random_label_cifar10": "cnn",
            "mdp_sparse_mnist": "mlp",
            "mdp_true_label_mnist": "mlp",
            "random_labels_digits": "mlp",
            "random_labels_mnist": "mlp",
        }.items()
        for added, folder, file in (
            ("ln", "networks", f"{network}_ln"),
            ("tuned_adam", "optimizers", "tuned_adam"),
        )
    },
    "gin/paper/small/two_hot.gin": ("gin/paper/two_hot.gin",),
}
"""{gin file that is gone: the files that are given in its place, together}."""

REMOVED_FLAGS: Mapping[str, str] = {
    "num_parallel_seeds": "--num_parallel_seeds is gone, as seeds side by side were not faster than one after"
    " another. Train each by its --seed, or all by bin/sweep, which keeps all cores busy. Runs that were"
    " trained side by side resume one by one",
}
"""{flag of a program: why it is no longer available, and the alternative}."""

ENDS = "the old name ends with the next release."
_PARTS_OF_TAGS = {
    "diagnostics": QUANTITIES,
    "brownian_twin": QUANTITIES,
    "train": STEP_STATISTICS,
}
_CONFIGURABLES = {**QUANTITIES, **STEP_STATISTICS}
_MODULES = ("", "diagnostics", "tfplastic.diagnostics")


def tag(name: str) -> str:
    """Returns a tag, or a pattern of tags, by today's names.

    Example:
        >>> from tfplastic import _renames
        >>> _renames.tag('diagnostics/srank/hidden1'), _renames.tag('evaluation/srank')
        ('diagnostics/feature_srank/hidden1', 'evaluation/srank')
    """
    prefix, slash, rest = name.partition("/")
    quantity, other_slash, layer = rest.partition("/")
    new = _PARTS_OF_TAGS.get(prefix, {}).get(quantity, quantity)
    return f"{prefix}{slash}{new}{other_slash}{layer}"


def step_metric(name: str) -> str:
    """Returns the new name of a metric that a gradient step reports.

    Example:
        >>> from tfplastic import _renames
        >>> _renames.step_metric('dead_fraction/hidden1')
        'dead_units/hidden1'
    """
    return tag(f"train/{name}").removeprefix("train/")


def configurable(name: str) -> str:
    """Returns the name of a configurable of gin, with its scopes and modules, by today's names.

    New names have no modules, because they are the only ones of that name.

    Example:
        >>> from tfplastic import _renames
        >>> _renames.configurable('twin/diagnostics.srank'), _renames.configurable('linalg.spectral_density')
        ('twin/feature_srank', 'linalg.spectral_density')
    """
    scope, slash, selector = name.rpartition("/")
    modules, _, last = selector.rpartition(".")
    new = _CONFIGURABLES.get(last) if modules in _MODULES else None
    return name if new is None else f"{scope}{slash}{new}"


def argument(configurable: str, name: str) -> str:
    """Returns the name of an argument of a configurable, which may have scopes and modules, by today's names.

    Example:
        >>> from tfplastic import _renames
        >>> _renames.argument('train', 'program'), _renames.argument('mlp', 'program')
        ('compiler', 'program')
    """
    selector = configurable.rpartition("/")[2]
    return ARGUMENTS.get(selector.rpartition(".")[2], {}).get(name, name)


def is_reciprocal(configurable: str, name: str) -> bool:
    """Returns whether an argument by an old name is the reciprocal of the argument by its name of today."""
    return (configurable.rpartition("/")[2].rpartition(".")[2], name) in RECIPROCALS


def value(configurable: str, name: str, old: Any) -> Any:
    """Returns the value of an argument under its name of today.

    Args:
        configurable: Name of the configurable, which may have scopes and modules.
        name: Old name of the argument.
        old: Value under the old name.

    Raises:
        ValueError: the value has no form today.

    Example:
        >>> from tfplastic import _renames
        >>> _renames.value('AtariTask', 'agent_steps_per_gradient_step', 4)
        0.25
    """
    if not is_reciprocal(configurable, name):
        return old
    if isinstance(old, bool) or not isinstance(old, int) or old < 1:
        new = argument(configurable, name)
        raise ValueError(
            f"`{name}` must be an integer of at least 1; it is 1 / `{new}`, today's name. Received: {old!r}"
        )
    return 1 / old


def gin_files(name: str) -> Sequence[str]:
    """Returns the gin files in place of one that is gone; none for any other name.

    Args:
        name: Name or path of a gin file.

    Example:
        >>> from tfplastic import _renames
        >>> _renames.gin_files('./gin/random_labels_digits_ln.gin')
        ('gin/random_labels_digits.gin', 'gin/networks/mlp_ln.gin')
    """
    path = pathlib.PurePath(name)
    return next((new for old, new in GIN_FILES.items() if path.match(old)), ())


def accept_old_arguments(configurable: str) -> Callable[[Class], Class]:
    """Returns a decorator of a class that takes old names of keyword arguments, with a `DeprecationWarning`.

    Args:
        configurable: a key of `ARGUMENTS`.
    """

    def decorate(cls: Class) -> Class:
        init = cls.__init__

        @functools.wraps(init)
        def with_new_names(self: Any, *args: Any, **kwargs: Any) -> None:
            for old, new in ARGUMENTS[configurable].items():
                if old in kwargs and new not in kwargs:
                    text = f"The argument `{old}` of {cls.__name__} is called `{new}` now; {ENDS}"
                    warnings.warn(text, DeprecationWarning, stacklevel=2)
                    kwargs[new] = value(configurable, old, kwargs.pop(old))
            init(self, *args, **kwargs)

        vars(with_new_names)["__signature__"] = inspect.signature(init)  # gin does not look through wrappers
        cls.__init__ = with_new_names
        return cls

    return decorate


def module_getattr(module: str) -> Callable[[str], Any]:
    """Returns the `__getattr__` of a module: old names of `PYTHON` are today's, with a `DeprecationWarning`.

    The error for an unknown name has the public names near it.

    Args:
        module: its name.
    """

    def get(name: str) -> Any:
        new = PYTHON.get(module, {}).get(name)
        if new is None:
            raise unknown_attribute(module, name)
        home, _, new = (new if "." in new else f"{module}.{new}").rpartition(".")
        text = f"{module}.{name} is called {home}.{new} now; {ENDS}"
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        return getattr(importlib.import_module(home), new)

    return get


def unknown_attribute(module: str, name: str) -> AttributeError:
    """Returns the error for a name that a module lacks, with the public names near it.

    Args:
        module: Name of an imported module.
        name: The unknown name.
    """
    known = () if name.startswith("_") else _public_names(sys.modules[module])
    near = near_matches(name, known)
    return AttributeError(f"module {module!r} has no attribute {name!r}{f'.{near}' if near else ''}")


def _public_names(module: ModuleType) -> Sequence[str]:
    """Returns `__all__` of a module; where it has none, the names of what is defined in it."""
    own = [
        name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__
    ]
    return getattr(module, "__all__", [name for name in own if not name.startswith("_")])
