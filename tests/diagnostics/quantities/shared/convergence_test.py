"""Solvers that did not converge are named in reports and logs, with a remedy."""

import functools

import pytest
from absl import logging

from tests.diagnostics import models, oracles
from tfplastic import diagnostics
from tfplastic._keras import keras
from tfplastic.diagnostics import Snapshot
from tfplastic.diagnostics.quantities.shared.convergence import convergence_remarks
from tfplastic.training.events.measurements.measured_network import MeasuredNetwork
from tfplastic.writers import MemoryWriter

SHORT = {
    "sharpness": functools.partial(diagnostics.sharpness, max_steps=1),
    "hessian_trace": functools.partial(diagnostics.hessian_trace, max_products=4),
}
EIGENVALUE, TRACE = (
    "Largest eigenvalue of the Hessian: not converged for all. all: Residuals of values[0] are above `tol`,",
    "Trace of the Hessian: not converged for all. all: 2 probes were made with 4 products, and fewer than 16"
    " do not determine the standard error. Raise `max_products`.",
)


@pytest.fixture(scope="module")
def net():
    model, (inputs, targets) = models.mlp(keras, "tanh"), oracles.data((2,), 5)
    return model, inputs, targets, oracles.squares


def test_a_report_says_it_and_one_whose_solvers_converged_does_not(net):
    report = diagnostics.diagnose(*net, quantities=SHORT)
    eigenvalue, trace = report.remarks
    assert eigenvalue.startswith(EIGENVALUE) and "Raise `max_steps`, or `tol` to " in eigenvalue
    assert trace == TRACE and trace in str(report) and trace in report.to_text(width=400)
    loose = functools.partial(diagnostics.hessian_trace, max_products=30)  # 17 weights: exact
    assert not diagnostics.diagnose(*net, quantities={"hessian_trace": loose}).remarks


def test_layers_share_a_line_and_refresh_forgets(net):
    snapshot = Snapshot(*net)
    diagnostics.layer_sharpness(snapshot, max_steps=1)
    diagnostics.smallest_eigenvalue(snapshot, max_steps=1, by_layer=True)
    largest, smallest = convergence_remarks(snapshot).values()
    assert largest.startswith("Largest eigenvalue of the Hessian: not converged for hidden, output. hidden: ")
    assert smallest.startswith("Smallest eigenvalue of the Hessian: not converged for hidden, output, all.")
    snapshot.refresh()
    assert not convergence_remarks(snapshot)


def test_a_run_says_each_kind_once(net, monkeypatch):
    lines = []
    monkeypatch.setattr(logging, "warning", lambda text, *values: lines.append(text % values))
    network = MeasuredNetwork(SHORT, leaves_out=(), whose=" of the twin")
    network.snapshot = Snapshot(*net)
    for step, names in ((1_000, ["sharpness"]), (2_000, ["sharpness", "hessian_trace"]), (3_000, [*SHORT])):
        network.measure(step, names, MemoryWriter())
    assert [line[:20] for line in lines] == ["Step 1,000 of the tw", "Step 2,000 of the tw"]
    assert EIGENVALUE in lines[0] and lines[1] == f"Step 2,000 of the twin: {TRACE}"
