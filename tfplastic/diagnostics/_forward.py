"""One traced call of a model, and compiled programs that give parts of what it computes."""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from tfplastic.diagnostics import _recording
from tfplastic.linalg._program import Program, trace


class ForwardPass:
    """A call of a model, traced once, with what its nonlinearities are given and return.

    Args:
        call: of the model.
        nonlinear: the layers with nonlinearities, all of the model's.
        chosen: names of the layers to tell of.
        signature: of the inputs, a nest of `tf.TensorSpec`.

    Attributes:
        functions: names of the activation functions, {name of the entry: name of the function}.
        outputs_are_tensors: whether they can leave a compiled program.
    """

    def __init__(
        self,
        call: Callable[[Any], Any],
        nonlinear: Mapping[str, Any],
        chosen: Mapping[str, Any],
        signature: Any,
    ):
        self.functions: dict[str, str] = {}
        self.outputs_are_tensors = True
        self._call, self._nonlinear, self._chosen = call, nonlinear, chosen
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
        with _recording.recording(self._nonlinear, {}) as calls:
            outputs = self._call(inputs)
        hidden = {
            name: call
            for name, call in _recording.hidden_calls(calls, outputs).items()
            if call.name in self._chosen
        }
        self.functions = {name: call.activation for name, call in hidden.items()}
        self.outputs_are_tensors = all(tf.is_tensor(each) for each in tf.nest.flatten(outputs))
        return {
            "activations": {name: call.result for name, call in hidden.items()},
            "pre_activations": {
                name: call.argument for name, call in hidden.items() if call.argument is not None
            },
            "outputs": outputs if self.outputs_are_tensors else (),
        }
