"""The Keras form of a pure optimizer whose update of a weight depends on the others."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import tensorflow as tf

from tfplastic._keras import is_legacy, keras, tf_variable
from tfplastic.optimizers._forms.keras_form import add_slots, check_form, index_of
from tfplastic.optimizers.pure import OptimizerState, PureOptimizer

_OF_EVERY_OPTIMIZER = ("learning_rate", "max_gradient_norm")


class PureForm(keras.optimizers.Optimizer):
    """A Keras optimizer whose update is that of `pure_class`, of all weights at once.

    Under a `tf.distribute` strategy each replica computes the update from the same summed gradients, and
    assigns it to its own copies.

    Args:
        learning_rate: number above 0, or a schedule of Keras.
        **kwargs: arguments of `pure_class`, and of Keras' own optimizers.

    Attributes:
        pure_class: class of its pure form.
    """

    pure_class: ClassVar[Any]

    def __init__(self, learning_rate: Any = 1e-3, **kwargs: Any):
        fields = [
            each for each in dataclasses.fields(self.pure_class) if each.name not in _OF_EVERY_OPTIMIZER
        ]
        settings = {each.name: kwargs.pop(each.name) for each in fields if each.name in kwargs}
        template = self.pure_class(learning_rate=1.0, **settings)
        kwargs.setdefault("name", type(self).__name__)
        kwargs.setdefault("weight_decay", None)  # of Keras, whose default in Keras 2 is 0
        if is_legacy():
            super().__init__(**kwargs)
            self._learning_rate = self._build_learning_rate(learning_rate)
        else:
            super().__init__(learning_rate=learning_rate, **kwargs)
        self._template = template
        self._root_seed: int | None = None
        check_form(self, self.pure)

    @property
    def pure(self) -> Any:
        """The same optimizer as pure functions; they read the learning rate of this one."""
        given: dict[str, Any] = {
            "learning_rate": self.learning_rate,
            "max_gradient_norm": self.global_clipnorm,
        }
        if self._root_seed is not None and getattr(self._template, "seed", 0) is None:
            given["seed"] = self._root_seed
        return dataclasses.replace(self._template, **given)

    def use_root_seed(self, seed: int) -> None:
        """Sets the seed of an optimizer that draws and has none; to be called before the first update."""
        self._root_seed = seed

    @property
    def draws_noise(self) -> bool:
        """Whether each update draws noise for every entry of the weights."""
        return self._template.draws_noise

    @property
    def slot_variables(self) -> dict[str, list[Any]]:
        """The slots by name, each a variable for every weight; none before the optimizer is built."""
        names = self._template.slot_names if hasattr(self, "_shared") else ()
        return {name: getattr(self, f"_slot_{name}") for name in names}

    @property
    def shared_variables(self) -> list[Any]:
        """The variables that belong to all weights together."""
        return list(getattr(self, "_shared", []))

    def build(self, variables: Any) -> None:
        """Makes the slots; Keras 2 calls this again at each step."""
        if hasattr(self, "_shared"):
            return
        super().build(variables)
        pure = self._template
        for name in pure.slot_names:
            setattr(self, f"_slot_{name}", add_slots(self, pure, name, variables))
        self._shared = [self._add_shared(name, shape) for name, shape in pure.shared_shapes.items()]
        if is_legacy():
            self._built = True

    def _add_shared(self, name: str, shape: tuple[int, ...]) -> Any:
        if not is_legacy():
            return self.add_variable(shape, "zeros", "float64", name=name)
        return self.add_variable(shape, dtype=tf.float64, initializer="zeros", name=name)

    def _pure_of(self, indices: Sequence[int]) -> PureOptimizer:
        """Returns the pure form for the weights at these positions, those that have a gradient."""
        return self.pure

    def _internal_apply_gradients(self, grads_and_vars: Any) -> Any:  # Keras 2
        self._assign_update(grads_and_vars)
        return self.iterations.assign_add(1)

    def _backend_update_step(
        self, grads: Any, trainable_variables: Any, learning_rate: Any
    ) -> None:  # Keras 3
        pairs = list(zip(grads, map(tf_variable, trainable_variables), strict=True))
        self._assign_update(self._all_reduce_sum_gradients(pairs))

    def _assign_update(self, pairs: Any) -> None:
        gradients, variables = zip(*pairs, strict=True)
        indices = [index_of(self, variable) for variable in variables]
        pure = self._pure_of(indices)
        slots = {name: [each[i] for i in indices] for name, each in self.slot_variables.items()}
        shared = dict(zip(pure.shared_shapes, self.shared_variables, strict=True))
        state = OptimizerState(
            tf.cast(tf.convert_to_tensor(self.iterations), tf.int64),
            {name: [tf.convert_to_tensor(slot) for slot in each] for name, each in slots.items()},
            {name: tf.convert_to_tensor(each) for name, each in shared.items()},
        )
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]  # which Keras has clipped
        parameters = [tf.convert_to_tensor(variable) for variable in variables]
        new_parameters, new_state = self._update(pure, gradients, state, parameters)
        assigned = list(zip(variables, new_parameters, strict=True))
        for name, each in slots.items():
            assigned += zip(each, new_state.slots[name], strict=True)
        assigned += [(variable, new_state.shared[name]) for name, variable in shared.items()]
        tf.__internal__.distribute.interim.maybe_merge_call(
            _assign_all, self._distribution_strategy, [(tf_variable(each), new) for each, new in assigned]
        )

    def _update(self, pure: Any, gradients: Any, state: OptimizerState, parameters: Any) -> Any:
        return pure.update_unclipped(gradients, state, parameters)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make the same optimizer again."""
        settings = {
            name: value for name, value in vars(self._template).items() if name not in _OF_EVERY_OPTIMIZER
        }
        config = {**super().get_config(), **settings}
        if is_legacy():
            config["learning_rate"] = self._serialize_hyperparameter(self._learning_rate)
        return config


def _assign_all(distribution: Any, pairs: Any) -> None:
    for variable, value in pairs:
        distribution.extended.update(variable, _assign, args=(value,), group=False)


def _assign(variable: Any, value: tf.Tensor) -> None:
    variable.assign(value)
