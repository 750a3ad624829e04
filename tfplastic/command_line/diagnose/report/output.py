"""Files with the results of `bin/diagnose report`. The same findings give the same bytes."""

import csv
import io
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfplastic.command_line.diagnose import figures
from tfplastic.command_line.diagnose.places import Places
from tfplastic.command_line.diagnose.report import array_drawing, course_drawing
from tfplastic.command_line.diagnose.report.findings import HEADER, Findings

_DOTS_PER_INCH = 150  # of figures with many panels


def write(findings: Findings, places: Places) -> list[pathlib.Path]:
    """Writes numbers, arrays and a figure for each quantity that is an array; returns the paths.

    Args:
        findings: findings on one network.
        places: where to; directories are made.
    """
    arrays: Any = findings.arrays()
    text = json.dumps(findings.to_json(), indent=1, allow_nan=False)
    paths = [
        _write_rows(findings.rows(), places),
        places.write_data(".json", lambda file: file.write(f"{text}\n".encode())),
        places.write_data(".npz", lambda file: np.savez(file, allow_pickle=False, **arrays)),
    ]
    for quantity, by_layer in findings.report.arrays.items():
        figure = array_drawing.draw(f"{findings.name}: {quantity}", by_layer)
        paths += figures.write(figure, places, f"_{quantity}", _DOTS_PER_INCH)
    return paths


def write_course(found: Sequence[Findings], places: Places) -> list[pathlib.Path]:
    """Writes the numbers of all checkpoints of a run, and a figure for each kind of quantity.

    Args:
        found: one for each checkpoint, in the order of their steps.
        places: where to; directories are made.
    """
    rows = [row for findings in found for row in findings.rows()]
    paths = [_write_rows(rows, places)]
    for kind, figure in course_drawing.draw(found).items():
        paths += figures.write(figure, places, f"_{kind.replace(' ', '_')}", _DOTS_PER_INCH)
    return paths


def _write_rows(rows: Sequence[Sequence[Any]], places: Places) -> pathlib.Path:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([HEADER, *rows])
    return places.write_data(".csv", lambda file: file.write(text.getvalue().encode()))
