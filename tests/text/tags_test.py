"""Tags and paths from names of layers: any name makes a valid tag, whose path gives it back."""

import os

import numpy as np
import pytest

from tfplastic import reports
from tfplastic._text.tags import path_of, tag_at, tag_of
from tfplastic.diagnostics.reporting.writing import write
from tfplastic.writers import MetricsFileWriter, check_tag

NAMES = [
    "..", ".", "", "/", "a//b", "../../up", "/absolute", "a b", 'a,b"c', "tab\tand\nline", "per%cent",
    "per%25cent", "back\\slash", "colon:1", "x" * 300, "\u5c42" * 100, "caf\u00e9", "\x7f", "~", "nul\0",
    "/".join(["deep" * 10] * 60),
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=[ascii(name)[1:24] for name in NAMES])
def test_any_name_makes_a_tag_and_a_path(name, tmp_path):
    tag = tag_of("diagnostics", "dead_units", name)
    assert check_tag(tag) == tag and tag.startswith("diagnostics/dead_units/")
    path = path_of(tag)
    assert tag_at(path) == tag and path.isascii() and len(path) <= 1_000
    assert all(len(part) <= 250 and part not in ("", ".", "..") for part in path.split("/"))
    place = (tmp_path / path).resolve()
    assert place.is_relative_to(tmp_path / "diagnostics" / "dead_units")
    place.mkdir(parents=True)


def test_different_names_make_different_tags():
    others = ["x" * 301, "/".join(["deep" * 10] * 61), "a,b", "a%2Cb"]
    assert len({tag_of("q", name) for name in [*NAMES, *others]}) == len([*NAMES, *others])


def test_usual_names_stay_as_they_are():
    for name in ("hidden1_relu", "block_1/attention/query", "lstm:1", "dense-2", "a b"):
        assert tag_of("q", name) == f"q/{name}" and path_of(name) == name


def test_reports_read_arrays_under_the_tags_that_were_written(tmp_path):
    run = tmp_path / "run"
    values = {name: np.arange(3.0) for name in NAMES}
    with MetricsFileWriter(run) as writer:
        write(writer, 5, {"spectrum": values, "dead_units": dict.fromkeys(NAMES, 0.5)})
    runs = reports.read_runs(tmp_path)
    tags = {tag_of("diagnostics", "spectrum", name) for name in NAMES}
    assert set(runs.array_tags()) == tags
    assert set(runs.tags()) == {tag_of("diagnostics", "dead_units", name) for name in NAMES}
    (found,) = runs.arrays(tag_of("diagnostics", "spectrum", "caf\u00e9"))
    assert found.step == 5 and os.listdir(tmp_path) == ["run"]
