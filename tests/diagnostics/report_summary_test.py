"""The report in words: which layers stand out, the worst first; the lines that printing shows."""

import io
import sys

import numpy as np
import pytest

from tfplastic import diagnostics
from tfplastic._keras import keras
from tfplastic.diagnostics import Report, diagnose


def report_of(quantity, values, **others):
    return Report({quantity: values, **others})


@pytest.mark.parametrize(
    ("quantity", "value", "words"),
    [
        ("dead_units", 0.5, "50 % of its units are dead"),
        ("dead_units", 0.999, "99 % of its units are dead"),
        ("dead_units", 1.0, "all of its units are dead"),
        ("dormant_units", 0.25, "25 % of its units are dormant"),
        ("saturated_units", 0.2, "20 % of its units are saturated"),
        ("linearized_units", 0.75, "75 % of its units are linear on this batch"),
        ("dormant_gradients", 0.3, "30 % of its units have almost no gradient"),
        ("gradient_norm", 0.0, "no gradient reaches it"),
        ("gradient_norm", float("nan"), "some of its gradients are NaN or infinite"),
        ("dead_units", float("nan"), "some of its activations are NaN or infinite"),
        ("weight_norm", float("inf"), "some of its weights are NaN or infinite"),
    ],
)
def test_each_thing_is_said_in_words(quantity, value, words):
    harmless = 1.0 if quantity.endswith("norm") else 0.0
    report = report_of(quantity, {"good": harmless, "bad": value, "all": value})
    assert report.summary().splitlines() == ["1 of 2 layers stands out, the worst first:", f"  bad: {words}."]


@pytest.mark.parametrize(
    ("quantity", "value"),
    [("dead_units", 0.09), ("dormant_units", 0.19), ("linearized_units", 0.49), ("dormant_gradients", 0.29)],
)
def test_below_the_bounds_nothing_stands_out(quantity, value):
    assert report_of(quantity, {"a": value, "all": 1.0}).summary() == "Nothing stands out in 1 layer."


def test_low_ranks_are_told_with_the_highest_possible():
    report = Report(
        {
            "feature_srank": {"narrow": 3.0, "wide": 20.0, "tiny": 1.0},
            "feature_singular_values": {"narrow": np.ones(32), "wide": np.ones(32), "tiny": np.ones(4)},
        }
    )
    assert report.summary().splitlines()[1:] == ["  narrow: its features use 3 of 32 directions."]


def test_gradients_far_from_the_median_layers():
    norms = {"a": 1.0, "b": 1.0, "c": 1.0, "d": 500.0, "e": 0.002, "all": 500.0}
    assert report_of("gradient_norm", norms).summary().splitlines()[1:] == [
        "  d: its gradient is 500 times the median layer's.",
        "  e: its gradient is 1/500 of the median layer's.",
    ]
    assert report_of("gradient_norm", {"a": 1.0, "b": 500.0}).summary().startswith("Nothing")


def test_the_worst_layers_come_first_and_lines_are_ten_at_most():
    generator = np.random.default_rng(0)
    dead = {f"layer{number}": float(generator.uniform(0.1, 1)) for number in range(30)}
    report = Report({"dead_units": dead, "dormant_units": dead}, left_out={"churn": "needs `optimizer`"})
    lines = report.summary().splitlines()
    worst = sorted(dead, key=lambda layer: -dead[layer])
    assert len(lines) == 10
    assert [line.split(":")[0].strip() for line in lines[1:8]] == worst[:7]
    assert "dormant" not in report.summary()  # of dead units that is no news
    assert lines[8] == f"  Then {worst[7]}, {worst[8]}, and 21 more."
    assert lines[9] == "Left out: 1 quantity, see `left_out`."


def test_a_layer_with_a_reason_is_not_broken():
    report = Report({"dead_units": {"a": float("nan"), "b": 0.0}}, reasons={"a": "it is in a loop"})
    assert report.summary() == "Nothing stands out in 2 layers."


def test_printing_shows_what_stands_out_and_show_the_rest(capsys):
    values = {f"layer{number}": float(number == 3) for number in range(20)}
    report = Report({"dead_units": values, "sharpness": {"all": 2.5}}, remarks=["The loss is yours."])
    shown = str(report)
    assert shown.startswith(report.summary()) and "layer3" in shown and "layer4" not in shown
    assert "sharpness  2.5" in shown and "The loss is yours." in shown
    assert shown.endswith("`report.show(all=True)` prints every layer.")
    report.show()
    assert capsys.readouterr().out == f"{shown}\n"
    report.show(all=True, width=60)
    assert capsys.readouterr().out == f"{report.summary()}\n\n{report.to_text(60)}\n"


def test_html_has_the_summary_and_every_layer():
    report = Report({"dead_units": {"<a>": 1.0, "b": 0.0}})
    page = report._repr_html_()
    assert "&lt;a&gt;: all of its units are dead." in page and "<th>b</th>" in page


def test_names_that_the_terminal_cannot_show_are_escaped(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    report = Report({"dead_units": {"café/层": 1.0}})
    print(report)
    report.show(all=True)
    stream.flush()
    assert b"caf\\xe9/\\u5c42: all of its units are dead." in stream.buffer.getvalue()


def test_a_dead_layer_of_a_real_model_is_named_first():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(16, "relu", name="alive"),
            keras.layers.Dense(16, "relu", bias_initializer=keras.initializers.Constant(-99.0), name="dead"),
            keras.layers.Dense(1, name="output"),
        ]
    )
    inputs = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
    lines = diagnose(model, inputs, np.zeros((64, 1), np.float32), "mse").summary().splitlines()
    assert lines[1].startswith("  dead: ") and "all of its units are dead" in lines[1]
    assert len(lines) <= 10


def test_parts_of_a_layer_and_its_other_calls_are_no_layers_of_their_own():
    dead = {"lstm": 0.5, "lstm/lstm_cell": 0.5, "shared": 0.0, "shared:1": 0.2, "attention/query": 0.0}
    ranks = {"lstm/lstm_cell/kernel": 1.0, "attention/query": 1.0}
    report = Report({"dead_units": dead, "weight_srank": ranks})
    assert report.summary().splitlines() == [
        "2 of 3 layers stand out, the worst first:",
        "  lstm: 50 % of its units are dead.",
        "  lstm/lstm_cell: 50 % of its units are dead.",
        "  shared:1: 20 % of its units are dead.",
    ]


@pytest.mark.parametrize("cell", ["LSTM", "GRU", "SimpleRNN"])
def test_cells_are_no_layers(cell):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((3, 2)),
            getattr(layers, cell)(3, name="first", return_sequences=True),
            layers.RNN(
                [getattr(layers, f"{cell}Cell")(2), getattr(layers, f"{cell}Cell")(2)], name="stacked"
            ),
            layers.Dense(4, "tanh", name="hidden"),
            layers.Dense(1, name="output"),
        ]
    )
    quantities = [diagnostics.dead_units, diagnostics.weight_norm, diagnostics.weight_srank]
    report = diagnose(model, np.ones((4, 3, 2), np.float32), quantities=quantities)
    assert "first/" in str(report.to_dict()) and report.summary().splitlines()[0].endswith("4 layers.")
