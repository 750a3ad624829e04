"""One traced call of a model, and compiled programs that give parts of what it computes."""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from tfplastic.diagnostics import _bare, _layers, _recording
from tfplastic.linalg._program import Program, trace


class ForwardPass:
    """A call of a model, traced once, with what its nonlinearities are given and return.

    Args:
        call: of the model.
        layers: the model's, itself first, as `_layers.named_layers` has them.
        chosen: those of them to tell of.
        signature: of the inputs, a nest of `tf.TensorSpec`.

    Attributes:
        functions: names of the activation functions, {name of the entry: name of the function}.
        unmeasured: {layer name: reason}, see `_bare.unmeasured`.
        outputs_are_tensors: whether they can leave a compiled program.
    """

    def __init__(
        self,
        call: Callable[[Any], Any],
        layers: Mapping[str, Any],
        chosen: Mapping[str, Any],
        signature: Any,
    ):
        self.functions: dict[str, str] = {}
        self.outputs_are_tensors = True
        self.unmeasured: dict[str, str] = {}
        self._call, self._layers, self._chosen = call, layers, chosen
        self._signature = signature
        self._whole = trace("`model`", self._trace, signature)

    def program(self, select: Callable[[Mapping[str, Any]], Any]) -> Program:
        """A program that gives what `select` makes of a pass, and computes no more than that takes.

        Args:
            select: of a mapping with the entries 'activations' and 'pre_activations', {name: tensor}, and
                'outputs'.
        """
        # TensorFlow puts the traced call into the new program, and leaves out what that does not use.
        return trace("`model`", lambda inputs: select(self._whole(inputs)), self._signature)

    def _trace(self, inputs: Any) -> dict[str, Any]:
        model_name = next(iter(self._layers))
        nonlinear = _layers.nonlinear_layers(self._layers)
        weighted = {name: layer for name, layer in self._layers.items() if _layers.owns_variables(layer)}
        weighted.pop(model_name, None)
        with _recording.recording(nonlinear, weighted) as calls:
            outputs = self._call(inputs)
        hidden = _recording.hidden_calls(calls, outputs)
        self.unmeasured = {
            name: reason
            for name, reason in _bare.unmeasured(calls, nonlinear, hidden, model_name).items()
            if name.partition(":")[0] in self._chosen
        }
        hidden = {name: call for name, call in hidden.items() if call.name in self._chosen}
        self.functions = {name: call.activation for name, call in hidden.items()}
        self.outputs_are_tensors = all(tf.is_tensor(each) for each in tf.nest.flatten(outputs))
        return {
            "activations": {name: call.result for name, call in hidden.items()},
            "pre_activations": {
                name: call.argument for name, call in hidden.items() if call.argument is not None
            },
            "outputs": outputs if self.outputs_are_tensors else (),
        }
