import numpy as np
import pytest

from tests.reports.run_directories import write_run
from tfplastic.reports import aggregate, read_runs
from tfplastic.reports.reproduction import numbers, texts


def test_points_below_six_runs_and_an_interval_from_there():
    assert numbers.several([]) == numbers.NONE
    assert numbers.several([0.3, 0.1, 0.2], 1) == "0.2 (0.1, 0.2, 0.3)"
    assert numbers.several(np.arange(5.0), 0).count(",") == 4
    values = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 8.0])
    interval = aggregate.bootstrap({"": values}, aggregate.mean)
    assert numbers.several(values, 2) == f"3.00 [{interval.low:.2f}, {interval.high:.2f}]"
    assert numbers.several([-0.0004, 0.0004]) == "0.000 (0.000, 0.000)"  # no minus in front of a zero


def test_ends_of_each_run(tmp_path):
    for seed in (0, 1):
        write_run(tmp_path / f"a-seed{seed}", seed, {"x": [(0, 1.0 + seed), (5, 2.0), (9, 3.0 + seed)]})
    first, last = numbers.first_and_last(read_runs(tmp_path), "x")
    assert first.tolist() == [1, 2] and last.tolist() == [3, 4]


def test_texts_are_read_by_headings(tmp_path):
    file = tmp_path / "text.md"
    file.write_text(
        "<!-- no -->\n# Fig. 1\n\nabove\n\n## paper\n\nIt says.\n\nMore.\n\n# Fig. 2\n\n## notes\n\nn\n"
    )
    assert texts.read(file) == {
        "Fig. 1": {"": "above", "paper": "It says.\n\nMore."},
        "Fig. 2": {"": "", "notes": "n"},
    }
    file.write_text("# a\n\n# a\n")
    with pytest.raises(ValueError, match="must have each heading once. Received: 'a' again"):
        texts.read(file)
    with pytest.raises(ValueError, match="The texts of the page must be at"):
        texts.read(tmp_path / "no.md")


def test_a_run_that_diverged_is_a_dash():
    nan = float("nan")
    assert numbers.several([0.5, nan], 1) == "– (0.5, –)" and numbers.several([nan]) == "–"
    assert numbers.several([nan, *[0.5] * 6], 1) == "– [–, –]"
