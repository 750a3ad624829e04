"""The arguments that all builders of agents share, and the networks that they describe."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from tf_agents.trajectories import time_step as ts

from tfplastic._checks import check_fits_in_memory, check_fraction, check_integer, check_positive_integer
from tfplastic._keras import is_legacy, keras
from tfplastic.rl.agents.q_network import QNetwork

ModelBuilder = Callable[[int | Sequence[int]], keras.Model]  # number of outputs, or (actions, atoms) -> model


@dataclasses.dataclass(frozen=True)
class AgentSettings:
    """The arguments that all builders of agents share.

    Attributes:
        build_model: function that makes a Keras model with the number of outputs that it gets, or with
            `(actions, atoms)` for a categorical head; called for each network.
        time_step_spec: TF-Agents specs of a time step, without batch.
        action_spec: spec of an action; a scalar integer from 0.
        batch_size: examples in a training batch.
        discount: gamma per agent step, in [0, 1]. 0.99 in DQN Zoo, which Lyle et al. 2023 start from; the
            paper gives none for its MDPs.
        n_step: number of rewards in a return.
    """

    build_model: ModelBuilder
    time_step_spec: ts.TimeStep
    action_spec: Any
    batch_size: int
    _: dataclasses.KW_ONLY
    discount: float = 0.99
    n_step: int = 1

    def __post_init__(self) -> None:
        check_positive_integer("batch_size", self.batch_size)
        check_fraction("discount", self.discount)
        check_positive_integer("n_step", self.n_step)

    @property
    def num_actions(self) -> int:
        """The number of actions."""
        return int(self.action_spec.maximum - self.action_spec.minimum + 1)

    def check_num_atoms(self, name: str, num_atoms: int) -> None:
        """Checks the number of atoms or bins of a distribution, an argument `name`."""
        check_integer(name, num_atoms, minimum=2)
        check_fits_in_memory(name, num_atoms, 8 * num_atoms * self.batch_size)  # of the logits of a batch

    def networks(self, num_atoms: int | None = None) -> tuple[QNetwork, QNetwork]:
        """Returns the online and the target network, each with a model of its own.

        Args:
            num_atoms: atoms of a categorical head; None for Q-values.

        Raises:
            ValueError: under Keras 3, or if a model has outputs of another shape.
        """
        if not is_legacy():
            raise ValueError(
                "The environment variable `TF_USE_LEGACY_KERAS` must be 1 before TensorFlow is imported, as "
                "TF-Agents needs Keras 2. Received: Keras 3"
            )
        outputs = self.num_actions if num_atoms is None else (self.num_actions, num_atoms)
        spec = self.time_step_spec.observation

        def build() -> keras.Model:
            model = self.build_model(outputs)
            expected = (outputs,) if isinstance(outputs, int) else outputs
            shape = getattr(model, "output_shape", None)  # unknown before the first call of a subclass
            if shape is not None and tuple(shape[1:]) != expected:
                rule = f"must have outputs of shape {expected}, by its argument {outputs}"
                raise ValueError(f"`network` {rule}. Received: {tuple(shape[1:])}")
            return model

        def make(name: str) -> QNetwork:
            return QNetwork(spec, build, num_atoms or 1, name)

        return make("q_network"), make("target_q_network")
