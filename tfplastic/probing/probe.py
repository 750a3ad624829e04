"""The measurement of plasticity, configured once."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gin
import tensorflow as tf

from tfplastic import _renames
from tfplastic._checks import check_instance, shown
from tfplastic._keras import check_backend
from tfplastic.probing._measuring.cache import ProbeCache
from tfplastic.probing._measuring.inputs import as_inputs
from tfplastic.probing._measuring.measurement import Measurement
from tfplastic.probing._measuring.protocol import Protocol
from tfplastic.probing._measuring.shared import SharedProbe
from tfplastic.probing._measuring.standardized import standardized
from tfplastic.probing._training.optimizers import optimizer_of
from tfplastic.probing.result import ProbeResult


@gin.register(module="tfplastic.probing")
@_renames.accept_old_arguments("Probe")
@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Probe(Protocol):
    """Probe of plasticity P = b - E_g[loss after `num_steps` steps of fitting g], Eqs. 4 and 5 of the paper.

    The paper is Lyle et al. 2023. From a copy of a network, an optimizer is run on each of several targets g
    that the network has never seen; the same is done with networks that have just been initialized, on the
    same targets and batches. The verdict says where the network stands among them.

    The loss that is minimized is that of the `head` with `model.losses` (regularizers, `add_loss`), which
    `fit` adds to a loss as well; the compiled loss has no part, as its targets are others. Results are errors
    of the head alone. Positions that a mask of Keras leaves out of the outputs count nowhere.

    Nothing of the network, its optimizer or any random state is changed. The same seed gives the same bits on
    a CPU. The common work of a run's probes is kept in `cache`: fresh networks train once for an
    architecture, its inputs, the protocol and the seed.

    Args:
        num_targets: 10 in the paper (section 5.1).
        num_steps: gradient steps on each target. 2,000 in the paper.
        batch_size: inputs of a step, drawn with replacement. The paper does not say; with 5,000 inputs and 32
            a fresh MLP of 2 x 512 ends at 0.20 of a variance of 0.5, with 256 near 0.
        baselines: M, the number of fresh networks to compare with; 0 for none, and then no verdict. The paper
            compares with the network at the start of the run, but fresh networks differ more than targets do.
            With 8 an MLP, an MLP with LayerNorm and a CNN, fresh, were called lost or gained in 5.2, 6.8 and
            4.8 % of 1,000 draws from 64 networks each, where a normal distribution gives 5 % (3.1 to 7.3 with
            64 networks); more baselines do not lower that but sharpen the interval.
        quick_steps: if given, the network itself trains for only this many steps, and its final losses are
            extrapolated along the curves of fresh networks, which train once and in full; for frequent
            probes. From 500 of 2,000 steps, the final losses of 34 checkpoints (MLPs of 2 x 100 on random
            labels of MNIST and on an MDP) were off by 0.042 on average, of a variance of 0.5, and all
            verdicts stayed; docs/plasticity.md has more.
        num_inputs: number of inputs to draw from the given ones; None for all. Needed for a replay buffer.
        targets: `SineTargets`, `RandomNetworkTargets`, `RandomLabels`, `GivenTargets`, or your own array as
            for `GivenTargets`, whose length then replaces `num_targets`.
        head: `Regression`, `TwoHot` or `Classification`: the meaning of the outputs.
        optimizer: Keras optimizer whose settings the probe uses in place of those of the task's optimizer,
            where that one hardly fits the targets within `num_steps` even from a fresh network; None for
            the task's, as in the paper.
        optimizer_state: `'fresh'`, or `'copied'` from the optimizer that is given. Fresh networks begin with
            fresh ones. The paper does not say.
        losses_over: `'inputs'`: initial and final losses are those of all inputs, at inference; `'batches'`:
            those of the first and the last batch, before their updates. The paper does not say.
        execution: `'side_by_side'` or `'one_after_another'`, how targets train; `'auto'` for the faster.
        compiler: `'graph'`, `'xla'`, or `'auto'` for the faster.
        make_model: function from a seed to a new network of the architecture, for networks that cannot be
            rebuilt from their configuration.
        standardize: whether to probe a second time, with outputs mapped to each target's mean and scale
            before the probe: f'(x) = m + s (f(x) - mean f) / std f, constants for each output, of fresh
            networks as well. `ProbeResult.standardized` holds the result. A network that has trained starts
            far above b, those of docs/plasticity.md at up to 26 b, and the paper's form then measures mostly
            how fast it unlearns the scale of its outputs. For `Regression` alone; takes twice as long.
        seed: seed of targets, fresh networks, batches and dropout. All probes with the default share one draw
            of targets and fresh networks, also those of runs with different `train.seed`: numbers can be
            compared, and if that draw is an unlucky one, all verdicts are wrong together. Give another seed
            to check a verdict. None, in training runs alone, is the seed of the run: runs of several seeds
            then have independent draws, as tests over seeds suppose.
        cache: cache that the probes of a run share.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import numpy as np, tensorflow as tf, tfplastic as tp
        >>> model = tp.networks.mlp(2, hidden=(16,), input_shape=(4,))
        >>> inputs = np.random.default_rng(0).normal(size=[50, 4]).astype(np.float32)
        >>> probe = tp.probing.Probe(num_targets=2, num_steps=20, baselines=3)
        >>> result = probe.measure(model, inputs, tf.keras.optimizers.Adam(1e-3))
        >>> result.curves.shape, result.how
        ((2, 20), 'targets side by side, graph')
        >>> 0.4 < result.target_variance < 0.6
        True
    """

    cache: ProbeCache = dataclasses.field(default_factory=ProbeCache, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_instance("cache", self.cache, ProbeCache, "that of another probe")

    def measure(self, model: Any, inputs: Any, optimizer: Any = None) -> ProbeResult:
        """Probes a network.

        Args:
            model: a Keras model, of Keras 2 or Keras 3, or a TF-Agents network; built. It is not changed.
            inputs: X of Eq. 4: a nest of arrays `[n, ...]`; a `tf.data.Dataset`, Keras `PyDataset` or other
                iterable of batches, of inputs or of (inputs, targets, ...), which must end unless there is
                `num_inputs`; or a replay buffer.
            optimizer: a Keras optimizer, whose settings are copied; None for the one that the model is
                compiled with. The paper takes that of the main task. Not read where the probe has an
                `optimizer` of its own.

        Raises:
            ValueError: if the network cannot be rebuilt, or does not fit the inputs, the head or the
                optimizer.
        """
        check_backend("model", model)
        is_built = not isinstance(model, type) and getattr(model, "built", True)
        if not is_built or not getattr(model, "weights", None):
            raise ValueError(f"`model` must be built and have weights. Received: {model!r}")
        if not model.trainable_variables:
            raise ValueError(f"`model` must have weights that are trained. Received: {model!r}")
        arrays = as_inputs(inputs, self.num_inputs, self.known_seed)
        given = (self.cache, model, arrays, self.optimizer_of(model, optimizer))
        result = Measurement(self, *given).result()
        if not self.standardize:
            return result
        other = dataclasses.replace(self, head=standardized(self.head), standardize=False)
        return dataclasses.replace(result, standardized=Measurement(other, *given).result())

    def optimizer_of(self, model: Any, optimizer: Any = None) -> Any:
        """Returns the optimizer whose settings the probes of a network use.

        Args:
            model: a Keras model.
            optimizer: optimizer of the task; None for the one that the model is compiled with.

        Raises:
            ValueError: if there is none, or it is not a Keras optimizer.
        """
        return self.optimizer or optimizer_of(model, optimizer)

    def check_outputs(self, shape: Sequence[int]) -> None:
        """Raises `ValueError` unless the head suits a network.

        Args:
            shape: shape of the network's outputs for one example.
        """
        try:
            self.head.predictions(self.head.chosen(tf.zeros([1, *shape])))
        except ValueError:
            rule = f"must suit the network, which has outputs {[*shape]} for an example"
            raise ValueError(f"`Probe.head` {rule}. Received: {shown(self.head)}") from None

    def kept_in(self, directory: Path) -> SharedProbe:
        """Returns this probe reading its results from a folder where the same probe has left them.

        Args:
            directory: directory with a file for each result; made as needed. Several processes may use it at
                once.
        """
        return SharedProbe(self, directory)
