"""Calls of each configurable of gin with an argument that is tried, and the values that may pass."""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

import tfplastic as tp
from tests.contracts.wrong_values import HUGE, Key
from tfplastic import sweeps
from tfplastic.training import TrainConfig

_MLP = functools.partial(tp.networks.mlp, hidden=(3,))


def may(values: str, *names: str) -> set[Key]:
    """Pairs of each name and each of the values, which are apart by a blank; L is a large number."""
    return {(name, repr(HUGE) if value == "L" else value) for name in names for value in values.split()}


def given(function: Callable[..., Any], **fitting: Any) -> Callable[..., Any]:
    """Calls with values that fit and one that is tried."""
    return lambda **tried: function(**{**fitting, **tried})


def built(task: Callable[..., Any], **fitting: Any) -> Callable[..., Any]:
    """Like `given`, of a task that is built then, which is before there is a run directory."""
    return lambda **tried: task(**{**fitting, **tried}).build(0)


def on_games(task: Callable[..., Any], **fitting: Any) -> tuple[Callable[..., Any], set[Key]]:
    """The row of a task with a small replay memory."""
    passing = may("0.5 L", "replay_ratio") | may("L", "target_update_period") | may("None", "prioritization")
    return given(task, **fitting, replay_capacity=1_000, warm_up_agent_steps=100), passing


def of_minatar(**tried: Any) -> None:
    tp.rl.MinAtarTask(tp.rl.GameSequence(**tried), tp.rl.dqn, tp.networks.minatar_cnn)


def agent(make: Callable[..., Any]) -> Callable[..., Any]:
    """Makes an agent of a tiny network."""
    from tf_agents.specs import BoundedTensorSpec
    from tf_agents.trajectories import time_step_spec

    action_spec: Any = BoundedTensorSpec
    specs = time_step_spec(tf.TensorSpec([2], tf.float32)), action_spec([], tf.int32, 0, 1)
    network = functools.partial(tp.networks.mlp, hidden=(), input_shape=(2,))
    return lambda **tried: make(network, *specs, batch_size=2, **tried)


def operator() -> tp.linalg.Operator:
    x = tf.Variable([1.0, 2.0])
    return tp.linalg.HessianOperator(lambda: tf.reduce_sum(x**2), [x])


def config(**tried: Any) -> None:
    task = tp.tasks.RandomLabelTask("digits", _MLP, num_examples=50)
    TrainConfig(**{"task": task, "optimizer": tp.optimizers.sgd(), "total_steps": 10, **tried})


SEED = may("0 L", "seed")
NETWORK = (
    SEED
    | may("0.5", "width")
    | may("0.5 L", "norm_epsilon")  # of any size above zero
    | may("None", "norm", "dtype")  # no norm; Keras' own policy
    | may("[]", "hidden", "spectral_norm_layers")  # a linear network; no such layer
)
UPGD = (
    SEED
    | may("0.5 L", "learning_rate", "step_factor", "max_gradient_norm", "weight_decay", "noise_scale")
    | may("0", "weight_decay", "noise_scale")
    | may("0 0.5", "utility_decay")
    | may("None", "max_gradient_norm", "seed")
    | may("True", "order")  # equals 1
)
HIDDEN_MATRICES = (
    may("0.5 L", "learning_rate", "epsilon", "max_gradient_norm")
    | may("0 0.5", "beta_1", "beta_2")
    | may("None [] ['x']", "exclude")
    | may("None", "max_gradient_norm")
)
AGENT = may("0 0.5", "discount")
SOLVER = SEED | may("None", "progress") | may("0.5 L", "tol") | may("L", "max_products", "block_size")
HEAD = may("None", "outputs")
# How each is called, and which of the values may pass. A number of steps may have any size, as may what is
# cut to what there is.
TABLE: dict[str, tuple[Callable[..., Any], set[Key]]] = {
    "mlp": (given(tp.networks.mlp, num_outputs=2, hidden=(3,), input_shape=(4,)), NETWORK),
    "cnn": (
        given(
            tp.networks.cnn,
            num_outputs=2,
            input_shape=(6, 6, 1),
            filters=(2,),
            kernel_sizes=(3,),
            strides=(1,),
        ),
        NETWORK | may("[]", "pool_sizes"),
    ),
    "nature_dqn": (
        given(tp.networks.nature_dqn, num_outputs=2, observation_shape=(36, 36, 1), seed=0),
        NETWORK | may("None 0 0.5 L", "noise"),
    ),
    "replicated_mlp": (
        given(tp.networks.replicated_mlp, num_outputs=2, hidden=(3,), input_shape=(2, 4)),
        NETWORK | may("0 L", "first_replicate"),
    ),
    "minatar_cnn": (
        given(tp.networks.minatar_cnn, num_outputs=2, seed=0),
        NETWORK | may("None 0 0.5 L", "noise"),
    ),
    "resnet18": (given(tp.networks.resnet18, num_outputs=2, input_shape=(8, 8, 1)), NETWORK),
    "vit": (
        given(tp.networks.vit, num_outputs=2, input_shape=(6, 6, 1), model_dim=8),
        NETWORK | may("0 0.5", "dropout") | may("L", "num_heads"),  # the last is told of `model_dim`
    ),
    "CategoricalHead": (
        given(tp.networks.CategoricalHead, minimum=-1.0, maximum=1.0),
        may("-1 0 0.5 L", "minimum", "maximum"),  # of these, errors are of the other one
    ),
    "hl_gauss": (
        given(tp.networks.hl_gauss, values=[0.5], support=[0.0, 1.0]),
        may("0.5 L", "sigma") | may("5 []", "values"),
    ),
    "two_hot": (given(tp.networks.two_hot, values=[0.5], support=[0.0, 1.0]), may("5 []", "values")),
    "adam": (
        tp.optimizers.adam,
        may("0.5 L", "learning_rate", "epsilon", "epsilon_root", "max_gradient_norm")
        | may("0 0.5", "beta_1", "beta_2", "epsilon_root")
        | may("None", "max_gradient_norm"),
    ),
    "adamw": (
        tp.optimizers.adamw,
        may("0.5 L", "learning_rate", "weight_decay", "epsilon", "epsilon_root", "max_gradient_norm")
        | may("0 0.5", "beta_1", "beta_2", "epsilon_root", "weight_decay")
        | may("None", "max_gradient_norm"),
    ),
    "upgd": (tp.optimizers.upgd, UPGD),
    "obgd": (
        tp.optimizers.obgd,
        may("0.5 L", "learning_rate", "kappa", "max_gradient_norm")
        | may("0 0.5", "discount", "trace_decay")
        | may("None", "max_gradient_norm"),
    ),
    "trac": (given(tp.optimizers.trac, base=tp.optimizers.sgd()), may("0.5 L", "initial_scale")),
    "muon": (
        tp.optimizers.muon,
        HIDDEN_MATRICES
        | may("0 0.5", "momentum")
        | may("0.5 L", "rms_rate", "adam_rate_ratio")
        | may("0 0.5 L", "weight_decay", "adam_weight_decay")
        | may("0", "num_iterations")
        | may("None", "rms_rate"),
    ),
    "adamo": (
        given(tp.optimizers.adamo, strength=0.1),
        HIDDEN_MATRICES | may("0 0.5 L", "strength", "epsilon_root"),
    ),
    "ada_upgd": (tp.optimizers.ada_upgd, UPGD | may("0 0.5", "beta_1", "beta_2") | may("0.5 L", "epsilon")),
    "centered_rmsprop": (
        tp.optimizers.centered_rmsprop,
        may("0.5 L", "learning_rate", "epsilon", "outer_epsilon") | may("0 0.5", "decay", "outer_epsilon"),
    ),
    "sgd": (
        tp.optimizers.sgd,
        may("0.5 L", "learning_rate", "max_gradient_norm")
        | may("0 0.5", "momentum")
        | may("None", "max_gradient_norm"),
    ),
    "CChain": (tp.mitigations.CChain, may("0 0.5 L", "first", "share") | may("L", "warm_up")),
    "InFeR": (tp.mitigations.InFeR, may("0 0.5 L", "coefficient", "scale") | may("-1", "scale")),
    "L2ER": (
        tp.mitigations.L2ER,
        may("0 0.5 L", "step_size", "decay") | may("None L", "period", "num_layers"),
    ),
    "GradientClipping": (tp.mitigations.GradientClipping, may("0.5 L", "max_norm")),
    "NormalizeAndProject": (
        tp.mitigations.NormalizeAndProject,
        may("None L", "period") | may("None", "decay_rate"),
    ),
    "ParsevalRegularization": (
        tp.mitigations.ParsevalRegularization,
        may("0 0.5 L", "coefficient") | may("0.5 L", "scale") | may("L", "groups"),
    ),
    "SpectralRegularization": (
        tp.mitigations.SpectralRegularization,
        may("0 0.5 L", "coefficient") | may("0.5 L", "target") | may("L", "k", "num_iterations"),
    ),
    "WassersteinInit": (tp.mitigations.WassersteinInit, may("0 0.5 L", "coefficient")),
    "WeightClipping": (tp.mitigations.WeightClipping, may("0.5 L", "kappa") | may("None L", "period")),
    "L2Init": (tp.mitigations.L2Init, may("0 0.5 L", "coefficient")),
    "ResampledInit": (tp.mitigations.ResampledInit, may("0 0.5 L", "coefficient")),
    "ContinualBackprop": (
        tp.mitigations.ContinualBackprop,
        may("None L", "period")
        | may("0 0.5", "rate", "decay")
        | may("0 L", "maturity")
        | may("0.5 L", "gain"),
    ),
    "DASH": (tp.mitigations.DASH, may("None L", "period", "max_batches") | may("0 0.5", "share", "floor")),
    "HareAndTortoise": (
        given(tp.mitigations.HareAndTortoise, reset_period=2),
        may("L", "reset_period") | may("0 0.5", "decay"),
    ),
    "PlasticityInjection": (
        given(tp.mitigations.PlasticityInjection, after=2),
        may("L", "after") | may("None 'misspelt'", "head"),
    ),
    "FIRE": (tp.mitigations.FIRE, may("None L", "period") | may("L", "num_iterations")),
    "GraMa": (
        tp.mitigations.GraMa,
        may("None L", "period")
        | may("0 0.5 L", "threshold", "outgoing_scale")
        | may("0 0.5", "max_fraction"),
    ),
    "SelfNormalizedResets": (
        tp.mitigations.SelfNormalizedResets,
        may("0 0.5", "rejection") | may("L", "num_tasks", "estimate_period") | may("None", "estimate_period"),
    ),
    "PartialResets": (
        tp.mitigations.PartialResets,
        may("0 0.5", "strength", "decay") | may("0.5 L", "steepness") | may("L", "reset_period"),
    ),
    "ReDo": (
        tp.mitigations.ReDo,
        may("None L", "period", "max_units")
        | may("0 0.5 L", "threshold", "outgoing_scale")
        | may("0", "max_units"),
    ),
    "ResetLastLayer": (tp.mitigations.ResetLastLayer, may("None L", "period") | may("0 L", "num_layers")),
    "ResetNetwork": (tp.mitigations.ResetNetwork, may("None L", "period")),
    "ResetOptimizerState": (tp.mitigations.ResetOptimizerState, may("None L", "period")),
    "ShrinkAndPerturb": (
        tp.mitigations.ShrinkAndPerturb,
        may("None L", "period") | may("0 0.5", "shrink", "perturb") | may("L", "perturb"),
    ),
    "WeightDecay": (tp.mitigations.WeightDecay, may("0 0.5 L", "coefficient")),
    "Classification": (tp.probing.Classification, HEAD | {("outputs", f"[{HUGE}]")}),
    "Regression": (tp.probing.Regression, HEAD | {("outputs", f"[{HUGE}]")}),
    "TwoHot": (tp.probing.TwoHot, HEAD | {("outputs", f"[{HUGE}]")}),
    "SineTargets": (tp.probing.SineTargets, may("0.5 L", "scale") | may("-1 0 0.5 L", "offset_from")),
    "Probe": (
        tp.probing.Probe,
        SEED
        | may("0", "baselines")
        | may("None", "quick_steps", "num_inputs", "make_model", "optimizer", "seed"),
    ),
    "diagonal": (given(tp.linalg.diagonal, operator=operator()), SOLVER | may("0", "tol")),
    "trace": (given(tp.linalg.trace, operator=operator()), SOLVER | may("0", "tol")),
    "norms": (given(tp.linalg.norms, operator=operator()), SOLVER | may("L", "num_steps", "num_probes")),
    "spectral_density": (
        given(tp.linalg.spectral_density, operator=operator()),
        SOLVER | may("L", "num_steps"),
    ),
    "AtariProtocol": (tp.rl.AtariProtocol, may("0", "max_noops") | may("0 0.5", "sticky_actions")),
    "MinAtarProtocol": (
        tp.rl.MinAtarProtocol,
        may("0 0.5", "sticky_actions") | may("L", "max_steps_per_episode"),
    ),
    "Evaluation": (tp.rl.Evaluation, may("0 0.5", "epsilon") | may("L", "num_episodes", "num_envs")),
    "LinearEpsilon": (
        tp.rl.LinearEpsilon,
        may("0 0.5", "begin", "end") | may("0 L", "decay_agent_steps"),
    ),
    "GameSequence": (
        given(of_minatar, games=["breakout"], agent_steps=4),
        may("L", "agent_steps", "cycles"),
    ),
    "FrameReplay": (
        given(tp.rl.FrameReplay, capacity=100),
        may("L", "stack_size", "n_step"),  # told of `capacity`
    ),
    "Prioritization": (
        tp.rl.Prioritization,
        may("0 0.5", "exponent", "importance_begin", "importance_end")
        | may("0 L", "importance_steps")
        | may("0 0.5 L", "offset"),
    ),
    "c51": (agent(tp.rl.c51), AGENT | may("0.5 L", "max_value") | may("L", "n_step")),
    "dqn": (agent(tp.rl.dqn), AGENT | may("0.5 L", "grad_error_bound") | may("L", "n_step")),
    "double_dqn": (agent(tp.rl.double_dqn), AGENT | may("0.5 L", "grad_error_bound") | may("L", "n_step")),
    "qr_dqn": (agent(tp.rl.qr_dqn), AGENT | may("L", "n_step") | may("0 0.5 L", "threshold")),
    "rainbow": (agent(tp.rl.rainbow), AGENT | may("0.5 L", "max_value") | may("L", "n_step")),
    "two_hot_dqn": (
        agent(tp.rl.two_hot_dqn),
        AGENT | may("L", "n_step", "max_value") | may("None 0.5", "max_value") | may("-1 0 0.5", "min_value"),
    ),
    "RandomLabelTask": (
        built(tp.tasks.RandomLabelTask, dataset="digits", network=_MLP, num_examples=50),
        may("L", "steps_per_task") | may("None", "epochs_per_task"),
    ),
    "PermutedPixels": (
        built(tp.tasks.PermutedPixels, dataset="digits", network=_MLP, num_examples=50, steps_per_task=10),
        may("L", "steps_per_task") | may("None", "epochs_per_task"),
    ),
    "PermutedLabels": (
        built(tp.tasks.PermutedLabels, dataset="digits", network=_MLP, num_examples=50),
        may("L", "steps_per_task") | may("None", "epochs_per_task"),
    ),
    "PartialLabelReset": (
        built(tp.tasks.PartialLabelReset, dataset="digits", network=_MLP, fraction=0.5, num_examples=50),
        may("L", "steps_per_task") | may("None", "epochs_per_task") | may("0 0.5", "fraction"),
    ),
    "ClassSplit": (
        built(
            tp.tasks.ClassSplit,
            dataset="digits",
            network=_MLP,
            classes_per_task=(3, 1),
            examples_per_class=20,
            batch_size=8,
        ),
        may("L", "steps_per_task") | may("None", "epochs_per_task"),
    ),
    "WarmStart": (
        built(
            tp.tasks.WarmStart,
            dataset="digits",
            network=_MLP,
            num_examples=50,
            batch_size=8,
            epochs_per_task=None,
            steps_per_task=10,
        ),
        may("L", "steps_per_task") | may("None", "epochs_per_task") | may("0.5", "share"),
    ),
    "GradualDrift": (
        lambda **tried: tp.tasks.GradualDrift(
            **{"stream": tp.tasks.RandomLabelTask("digits", _MLP, num_examples=50), **tried}
        ),
        may("0.5", "drift"),
    ),
    "SlowlyChangingRegression": (
        built(tp.tasks.SlowlyChangingRegression, network=tp.networks.replicated_mlp, replicates=2),
        may("L", "steps_per_task") | may("0 0.5 -1 L", "threshold") | may("0", "first_replicate"),
    ),
    "TwoInputRegression": (
        built(tp.tasks.TwoInputRegression, network=tp.networks.replicated_mlp),
        may("L", "steps_per_task") | may("0 0.5 -1 L", "scale") | may("0", "first_replicate"),
    ),
    "OffsetRegression": (
        built(tp.tasks.OffsetRegression, dataset="digits", network=_MLP, num_examples=150),
        may("L", "steps_per_task")
        | may("None", "epochs_per_task")
        | may("0.5 L", "noise")
        | may("[-1] [10000000000000]", "offsets"),
    ),
    "RandomNetworkRegression": (
        built(tp.tasks.RandomNetworkRegression, dataset="digits", network=_MLP, num_examples=150),
        may("L", "steps_per_task") | may("None", "epochs_per_task") | may("[]", "hidden"),
    ),
    "BackwardTransfer": (tp.training.BackwardTransfer, set()),
    "NextTaskDiagnostics": (
        given(tp.training.NextTaskDiagnostics, quantities=[tp.diagnostics.dead_units]),
        may("L", "num_examples", "task_period") | may("[]", "quantities"),
    ),
    "ReplicateScores": (tp.training.ReplicateScores, may("L", "period")),
    "ClassificationMdpTask": (
        built(
            tp.rl.ClassificationMdpTask,
            dataset="digits",
            mdp=tp.tasks.true_label_mdp,
            agent=tp.rl.double_dqn,
            network=_MLP,
            replay_capacity=1_000,
            warm_up_agent_steps=100,
        ),
        may("None", "num_examples")
        | may("0 0.5", "epsilon")
        | may("L", "warm_up_agent_steps", "target_update_period", "evaluation_size"),
    ),
    "AtariTask": on_games(
        tp.rl.AtariTask,
        game="Pong",
        agent=tp.rl.double_dqn,
        network=functools.partial(tp.networks.nature_dqn, width=0.05),
    ),
    "MinAtarTask": on_games(
        tp.rl.MinAtarTask, game="breakout", agent=tp.rl.dqn, network=tp.networks.minatar_cnn
    ),
    "PpoTask": (
        given(
            tp.rl.PpoTask,
            game="breakout",
            network=tp.networks.minatar_cnn,
            protocol=tp.rl.MinAtarProtocol(),
        ),
        may("0 0.5", "discount", "trace_decay")
        | may("0.5", "clip")
        | may("0 0.5 L", "value_coefficient", "entropy_coefficient")
        | may("L", "num_epochs"),
    ),
    "sparse_reward_mdp": (given(tp.tasks.sparse_reward_mdp, labels=[0, 1], num_classes=2, seed=0), set()),
    "load_dataset": (tp.tasks.load_dataset, set()),
    "train": (
        config,
        may(
            "L",
            *("total_steps", "log_period", "diagnostics_period", "probe_period", "evaluation_period"),
            *("checkpoint_period", "keep_checkpoints"),
        )
        | SEED
        | {("probe_period", f"[{HUGE}]")}
        | may("[]", "diagnostics", "events", "mitigations", "step_statistics")
        | may("{}", "diagnostics", "diagnostics_periods", "diagnostics_losses", "step_statistics")
        | may("None", "diagnostics_loss", "probe", "twin")
        # `Loop` looks for the run: of one that is resumed it may be gone.
        | may("None 'misspelt'", "init_from"),
    ),
    "sweep": (
        given(sweeps.Experiment, base=["a"], arms={"a": ["b"]}, seeds=[0]),
        may("[] ['x']", "base") | {("seeds", f"[{HUGE}]")},
    ),
}
# Arguments that the library gives, which no gin file binds.
INTERNAL = {
    **dict.fromkeys(
        ("c51", "dqn", "double_dqn", "qr_dqn", "rainbow", "two_hot_dqn"),
        {"build_model", "time_step_spec", "action_spec", "batch_size"},
    ),
    "sparse_reward_mdp": {"labels", "num_classes", "seed"},
}
WITHOUT_ARGUMENTS = {
    "BrownianTwin",
    "RandomLabels",
    "RandomNetworkTargets",
    "true_label_mdp",
    "random_label_mdp",
}
# Members of any names; tests/configuration/composing/composition_test.py has the errors.
MEMBERS = {"diagnostics", "diagnostics_losses", "diagnostics_periods", "mitigations", "step_statistics"}
