"""The report: its values in every form, and a table that can be read at any width."""

import html.parser
import sys

import numpy as np
import pandas as pd
import pytest

from tfplastic.diagnostics import Report

LAYERS = [f"block{number // 4}_conv{number % 4}" for number in range(20)]
REASON = "its nonlinearity is a bare function"


def small(**arguments):
    values = {
        "dead_units": {"hidden1": 0.25, "hidden2": float("nan")},
        "weight_norm": {"output": 2.0, "hidden1": 12345.678, "all": float("nan")},
        "pre_activation_histogram": {"hidden1": np.arange(30.0)},
        "gradient_covariance": {"all": np.eye(2), "hidden1": np.eye(3)},
        "sharpness": {"all": -1.5e-7},
    }
    settings = {
        "reasons": {"hidden2": REASON},
        "left_out": {"churn": "without `optimizer`", "update_ratio": "without `optimizer`"},
        "kinds": {"dead_units": "units", "weight_norm": "weights", "pre_activation_histogram": "units"},
        "layers": ["hidden1", "hidden2", "output"],
    }
    return Report(values, **{**settings, **arguments})


def large():
    """40 quantities of 20 layers."""
    kinds = [("units", 8), ("ranks", 8), ("weights", 12), ("gradients", 12)]
    names = [f"{kind}_quantity_of_long_name_{number}" for kind, count in kinds for number in range(count)]
    generator = np.random.default_rng(0)
    values = {
        name: {layer: float(10 ** generator.uniform(-9, 9)) for layer in [*LAYERS, "all"]} for name in names
    }
    return Report(values, kinds={name: name.partition("_")[0] for name in names}, layers=LAYERS)


def test_numbers_and_arrays_are_apart():
    report = small()
    assert list(report.to_dict()) == ["dead_units", "weight_norm", "sharpness"]
    assert report.to_dict()["weight_norm"]["hidden1"] == 12345.678
    assert all(type(value) is float for values in report.to_dict().values() for value in values.values())
    assert {name: list(arrays) for name, arrays in report.arrays.items()} == {
        "pre_activation_histogram": ["hidden1"],
        "gradient_covariance": ["all", "hidden1"],
    }
    np.testing.assert_array_equal(report.arrays["gradient_covariance"]["hidden1"], np.eye(3))
    assert report.reasons == {"hidden2": REASON}
    assert list(report.left_out) == ["churn", "update_ratio"]


def test_to_pandas_has_layers_as_rows_in_their_order():
    expected = pd.DataFrame(
        {
            "dead_units": [0.25, np.nan, np.nan, np.nan],
            "weight_norm": [12345.678, np.nan, 2.0, np.nan],
            "sharpness": [np.nan, np.nan, np.nan, -1.5e-7],
        },
        index=pd.Index(["hidden1", "hidden2", "output", "all"], name="layer"),
    )
    pd.testing.assert_frame_equal(small().to_pandas(), expected)


def test_without_pandas_an_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"^`to_pandas` needs pandas: pip install pandas$"):
        small().to_pandas()


def test_the_table_in_full():
    assert (
        small().to_text(80)
        == """\
                            pre_
                     activation_
units    dead_units    histogram
hidden1        0.25         [30]
hidden2     NaN (1)            -

weights  weight_norm
hidden1        12346
output             2
all              NaN

          gradient_
others   covariance
hidden1      [3, 3]
all          [2, 2]

                all
sharpness  -1.5e-07

(1) hidden2: its nonlinearity is a bare function
NaN without a number: not defined for this layer; see the quantity's docstring.
[...]: an array of that shape, which is in `arrays`.
Left out: churn, update_ratio: without `optimizer`"""
    )


@pytest.mark.parametrize("width", [40, 80, 120, 300])
def test_forty_quantities_of_twenty_layers_fit_any_width(width):
    report = large()
    text = report.to_text(width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    # Every number is there, whole, and beside its layer.
    for layer in [*LAYERS, "all"]:
        cells = [cell for line in lines if line.split()[:1] == [layer] for cell in line.split()[1:]]
        assert len(cells) == 40
        expected = [values[layer] for values in report.to_dict().values()]
        np.testing.assert_allclose([float(cell) for cell in cells], expected, rtol=0.006)
    # Broken headings are whole when they are put together again.
    tables = [table.splitlines() for table in text.split("\n\n")]
    assert sum(len(table) for table in tables) >= len(tables) * 22
    if width == 300:
        assert len(tables) == 4


def test_text_is_as_wide_as_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    assert large().to_text() == large().to_text(120) != large().to_text(80)
    assert str(large()) == repr(large())
    assert large().to_text(1) == large().to_text(40)


def test_calls_follow_their_layer_and_what_is_unknown_comes_before_all():
    values = {"dead_units": {"all": 0.0, "other": 0.0, "b:1": 0.0, "a": 0.0, "b": 0.0}}
    report = Report(values, layers=["b", "a"])
    assert list(report.to_pandas().index) == ["b:1", "b", "a", "other", "all"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (512.0, "512"),
        (123456.0, "123456"),
        (12345678.0, "1.23e+07"),
        (0.12345, "0.123"),
        (1234.5, "1234"),
        (-1.5e-7, "-1.5e-07"),
        (float("inf"), "inf"),
    ],
)
def test_numbers_are_short(value, shown):
    assert Report({"q": {"layer": value}}).to_text(80).splitlines()[1].split() == ["layer", shown]


class _Cells(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.cells = []
        self.tags = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag in ("td", "th", "p", "pre", "summary"):
            self.cells.append("")

    def handle_data(self, data):
        if data.strip():
            self.cells[-1] += data


def test_html_is_escaped_and_complete():
    evil = "<script>alert(1)</script>&_"
    report = Report({evil: {evil: 0.5}}, reasons={evil: evil}, left_out={evil: evil}, kinds={evil: evil})
    found = _Cells(report._repr_html_())
    assert "script" not in found.tags
    assert found.cells.count(evil) == 3 and "0.5" in found.cells
    cells = _Cells(large()._repr_html_()).cells
    assert sum(cell in LAYERS for cell in cells) == 4 * 20
    assert all(name in cells for name in large().to_dict())


def test_square_brackets_in_names_are_no_markup():
    assert "[bold]x" in Report({"q": {"[bold]x": 1.0}}).to_text(80)


def test_an_empty_report():
    assert Report({}).to_text(80) == ""
    assert Report({}, left_out={"sharpness": "without `loss`"}).to_text(80).strip() == (
        "Left out: sharpness: without `loss`"
    )
    assert Report({}).to_pandas().shape == (0, 0)
    assert Report({"dead_units": {}}).to_dict() == {"dead_units": {}}
