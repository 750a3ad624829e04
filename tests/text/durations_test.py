"""Lengths of time as text."""

import math

import pytest

from tfplastic._text.durations import duration, rough_duration


@pytest.mark.parametrize(
    "seconds, text",
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3599.6, "1 h 00 min"),
        (3800, "1 h 03 min"),
        (86399.9, "1 d 00 h"),
        (40 * 86400, "40 d 00 h"),
        (None, "-"),
        (math.inf, "-"),
        (math.nan, "-"),
    ],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    "seconds, text",
    [
        (0, "0 s"),
        (89, "89 s"),
        (90, "2 min"),
        (89 * 60, "89 min"),
        (5_400, "1.5 h"),
        (47.9 * 3_600, "47.9 h"),
        (48 * 3_600, "2 d"),
        (None, "-"),
        (math.inf, "-"),
        (math.nan, "-"),
    ],
)
def test_rough_duration(seconds, text):
    assert rough_duration(seconds) == text
