import fractions
import math
import re

import numpy as np
import pytest

from tfplastic import _checks

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("check", "value", "expected"),
    [
        (_checks.check_positive_integer, 1, 1),
        (_checks.check_positive_integer, np.int64(7), 7),
        (_checks.check_integer, 0, 0),
        (_checks.check_positive, 3, 3.0),
        (_checks.check_positive, np.float32(0.5), 0.5),
        (_checks.check_non_negative, 0, 0.0),
        (_checks.check_fraction, 0, 0.0),
        (_checks.check_fraction, 1, 1.0),
        (_checks.check_fraction, np.float64(0.25), 0.25),
    ],
)
def test_returns_a_value_within_the_rule_as_a_python_number(check, value, expected):
    checked = check("argument", value)
    assert checked == expected
    assert type(checked) is type(expected)


@pytest.mark.parametrize(
    ("check", "rule", "values"),
    [
        (_checks.check_positive_integer, "an integer of at least 1", [0, -1, 1.0, True, "1", None, NAN]),
        (_checks.check_integer, "an integer of at least 0", [-1, 0.0, False, np.bool_(True), [0]]),
        (_checks.check_positive, "a finite number above 0", [0, -0.5, NAN, INF, True, "1", None, 1j]),
        (_checks.check_non_negative, "a finite number of at least 0", [-1e-9, NAN, INF, False, "0"]),
        (_checks.check_fraction, "a number in [0, 1]", [-0.01, 1.01, NAN, INF, -INF, True, None]),
    ],
)
def test_names_argument_rule_and_received_value(check, rule, values):
    for value in values:
        with pytest.raises(ValueError) as error:
            check("num_things", value)
        assert str(error.value) == f"`num_things` must be {rule}. Received: {value!r}"


def test_check_integer_takes_its_minimum():
    assert _checks.check_integer("size", 5, minimum=5) == 5
    assert _checks.check_integer("size", -3, minimum=-3) == -3
    with pytest.raises(ValueError, match=re.escape("`size` must be an integer of at least 5. Received: 4")):
        _checks.check_integer("size", 4, minimum=5)


def test_check_one_of_returns_the_member_or_lists_all():
    assert _checks.check_one_of("norm", None, (None, "layer")) is None
    with pytest.raises(ValueError) as error:
        _checks.check_one_of("norm", "batch", (None, "layer"))
    assert str(error.value) == "`norm` must be one of None, 'layer'. Received: 'batch'"


@pytest.mark.parametrize(
    ("word", "choices", "count", "phrase"),
    [
        ("pog", ["Pong", "Boxing", "Freeway"], 3, " Did you mean 'Pong'?"),
        ("BRAKEOUT", ["Breakout"], 3, " Did you mean 'Breakout'?"),
        ("tenis", ["Tennis", "Tenis", "Pong"], 3, " Did you mean 'Tenis' or 'Tennis'?"),
        ("tenis", ["Tennis", "Tenis", "Pong"], 1, " Did you mean 'Tenis'?"),
        ("xyzzy", ["Pong"], 3, ""),
        ("pong", [], 3, ""),
    ],
)
def test_near_matches_ignores_case_and_is_empty_where_nothing_is_near(word, choices, count, phrase):
    assert _checks.near_matches(word, choices, count) == phrase


def test_a_number_is_passed_on_exactly():
    assert _checks.check_positive("x", math.pi) == math.pi


@pytest.mark.parametrize("value", [10**400, -(10**400), fractions.Fraction(10**400, 3)])
@pytest.mark.parametrize("check", ["positive", "non_negative", "fraction", "finite"])
def test_a_number_beyond_all_floats_is_not_finite(check, value):
    with pytest.raises(ValueError, match=r"^`size` must be a .*\. Received: "):
        getattr(_checks, f"check_{check}")("size", value)


def test_what_has_no_repr_is_shown_by_its_type():
    class Broken:
        def __repr__(self):
            raise RuntimeError

    assert _checks.shown(Broken()) == "<Broken that cannot be shown>"
    with pytest.raises(ValueError, match=r"Received: <int that cannot be shown>$"):
        _checks.check_integer("size", -(10**5_000))
