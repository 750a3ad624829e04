"""Results of probes along a run, or of one model."""

import dataclasses
from typing import Any

import numpy as np

from tfplastic.probing import Probe, ProbeResult


@dataclasses.dataclass(frozen=True)
class Course:
    """The probes of one network at several times, by one protocol on the same inputs.

    Attributes:
        name: name of the run or the model.
        steps: gradient step of each; None for a Keras file, which does not say.
        results: results at each step; the fresh networks of all are the same.
        probe: the protocol.
        num_inputs: number of inputs of the probes.
    """

    name: str
    steps: list[int | None]
    results: list[ProbeResult]
    probe: Probe
    num_inputs: int

    def rows(self) -> list[dict[str, Any]]:
        """Returns all scalars and the verdict of each probe by name, with its `step`, -1 for a Keras file."""
        numbers = self._numbers()
        return [
            {"step": step, "verdict": result.verdict, **result.to_dict()}
            for step, result in zip(numbers, self.results, strict=True)
        ]

    def arrays(self) -> dict[str, Any]:
        """Returns the arrays to write by name: `ProbeResult.arrays`, the network's stacked by `step`."""
        each = [result.arrays() for result in self.results]
        of_all = {"target_variances"} | {name for name in each[0] if name.startswith("fresh_")}
        return {
            "step": np.array(self._numbers(), np.int64),
            **{
                name: array if name in of_all else np.stack([arrays[name] for arrays in each])
                for name, array in each[0].items()
            },
            "num_inputs": np.int64(self.num_inputs),
            "batch_size": np.int64(self.probe.batch_size),
            "seed": np.int64(self.probe.known_seed),
        }

    def _numbers(self) -> list[int]:
        return [-1 if step is None else step for step in self.steps]
