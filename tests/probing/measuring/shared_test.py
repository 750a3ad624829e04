"""A probe that is shared is the probe that each would have made, and is made once."""

import dataclasses
import functools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfplastic import _source
from tfplastic._source import Source
from tfplastic.networks import hl_gauss, mlp
from tfplastic.networks.categorical import CategoricalHead
from tfplastic.probing import Probe, SineTargets, TwoHot
from tfplastic.probing._measuring.shared import SharedProbe

PROBE = Probe(num_targets=2, num_steps=3, batch_size=4, baselines=2)


def network(seed=0, outputs: Any = 2, **arguments: Any):
    return mlp(outputs, hidden=(3,), input_shape=(2,), seed=seed, **arguments)


def inputs(seed=0):
    return np.random.default_rng(seed).normal(size=(9, 2)).astype(np.float32)


def adam(rate=1e-3):
    return tf.keras.optimizers.Adam(rate)


@pytest.fixture
def made(monkeypatch):
    """Counts the probes that are made."""
    calls = []
    measure = Probe.measure

    def counted(self, *arguments):
        calls.append(self)
        return measure(self, *arguments)

    monkeypatch.setattr(Probe, "measure", counted)
    return calls


@pytest.mark.parametrize("standardize", [False, True])
def test_what_is_read_is_what_was_made(tmp_path, made, standardize):
    probe = dataclasses.replace(PROBE, standardize=standardize)
    first = SharedProbe(probe, tmp_path / "shared").measure(network(), inputs(), adam())
    again = SharedProbe(dataclasses.replace(probe), tmp_path / "shared").measure(network(), inputs(), adam())
    assert len(made) == 1 and len(list((tmp_path / "shared").iterdir())) == 1
    assert (again.how, again.notes, again.warnings) == (first.how, first.notes, first.warnings)
    assert again.to_dict() == first.to_dict() and (again.standardized is not None) == standardize
    for name, array in first.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], array)
        assert again.arrays()[name].dtype == array.dtype


def test_other_code_is_not_shared(tmp_path, made, monkeypatch):
    sources = [Source("0" * 40, False), Source("1" * 40, False), Source("1" * 40, True)]
    for source in [*sources, *sources]:
        monkeypatch.setattr(_source, "of_package", lambda source=source: source)
        SharedProbe(PROBE, tmp_path).measure(network(), inputs(), adam())
    assert len(made) == 3


def test_a_damaged_file_is_made_again(tmp_path, made, caplog):
    def measured():
        return SharedProbe(PROBE, tmp_path).measure(network(), inputs(), adam()).to_dict()

    first = measured()
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    for damage in (content[:-30], b"text"):
        path.write_bytes(damage)
        caplog.clear()
        assert measured() == first
        assert [each.getMessage().partition(" (")[0] for each in caplog.records] == [
            f"The probe in {path} cannot be read"
        ]
    with path.open("wb") as file:
        np.savez(file, how=np.array("scratch"))
    assert measured() == first == measured() and len(made) == 4


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path, made, caplog):
    (tmp_path / "shared").write_text("a file")
    SharedProbe(PROBE, tmp_path / "shared").measure(network(), inputs(), adam())
    assert caplog.messages == [f"The probe cannot be shared in {tmp_path / 'shared'}: File exists."]


def head(encoding):
    return TwoHot(head=CategoricalHead(-1.0, 1.0, 5, encoding))


@pytest.mark.parametrize(
    "other",
    [
        (PROBE, network(seed=1), inputs(), adam()),
        (PROBE, network(activation="tanh"), inputs(), adam()),
        (PROBE, network(), inputs(seed=1), adam()),
        (PROBE, network(), inputs(), adam(2e-3)),
        (dataclasses.replace(PROBE, optimizer=adam(2e-3)), network(), inputs(), adam()),
        (dataclasses.replace(PROBE, num_steps=2), network(), inputs(), adam()),
        (dataclasses.replace(PROBE, seed=1), network(), inputs(), adam()),
        (dataclasses.replace(PROBE, targets=SineTargets(1e4)), network(), inputs(), adam()),
    ],
    ids=["weights", "architecture", "inputs", "optimizer", "own optimizer", "steps", "seed", "targets"],
)
def test_what_differs_is_not_shared(tmp_path, made, other):
    SharedProbe(PROBE, tmp_path).measure(network(), inputs(), adam())
    probe, *given = other
    SharedProbe(probe, tmp_path).measure(*given)
    assert len(made) == 2 and len(list(tmp_path.iterdir())) == 2


def test_heads_are_told_apart_by_their_functions_and_not_by_where_these_are(tmp_path, made):
    wide, narrow = (functools.partial(hl_gauss, sigma=sigma) for sigma in (0.75, 0.5))
    model = network(outputs=(2, 5))
    for encoding in (wide, narrow, functools.partial(hl_gauss, sigma=0.75)):
        SharedProbe(dataclasses.replace(PROBE, head=head(encoding)), tmp_path).measure(
            model, inputs(), adam()
        )
    assert len(made) == 2


@pytest.mark.parametrize(
    "changes", [{"make_model": network}, {"head": head(lambda values, support: hl_gauss(values, support))}]
)
def test_what_cannot_be_told_from_outside_is_made_each_time(tmp_path, made, changes):
    model = network(outputs=(2, 5) if "head" in changes else 2)
    for _ in range(2):
        SharedProbe(dataclasses.replace(PROBE, **changes), tmp_path).measure(model, inputs(), adam())
    assert len(made) == 2 and not list(tmp_path.iterdir())


def test_a_copied_state_is_not_shared(tmp_path, made):
    model, optimizer = network(), adam()
    optimizer.build(model.trainable_variables)
    for _ in range(2):
        probe = dataclasses.replace(PROBE, optimizer_state="copied")
        SharedProbe(probe, tmp_path).measure(model, inputs(), optimizer)
    assert len(made) == 2 and not list(tmp_path.iterdir())
