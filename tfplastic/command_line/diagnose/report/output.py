"""Files with the results of `bin/diagnose report`. The same findings give the same bytes."""

import csv
import io
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfplastic.command_line.diagnose import figures
from tfplastic.command_line.diagnose.output_paths import OutputPaths
from tfplastic.command_line.diagnose.report import array_drawing, course_drawing
from tfplastic.command_line.diagnose.report.findings import HEADER, Findings

_DOTS_PER_INCH = 150  # of figures with many panels


def write(findings: Findings, output_paths: OutputPaths) -> list[pathlib.Path]:
    """Writes numbers, arrays and a figure for each quantity that is an array; returns the paths.

    Args:
        findings: findings on one network.
        output_paths: files to write; their directories are made.
    """
    arrays: Any = findings.arrays()
    text = json.dumps(findings.to_json(), indent=1, allow_nan=False)
    paths = [
        _write_rows(findings.rows(), output_paths),
        output_paths.write_data(".json", lambda file: file.write(f"{text}\n".encode())),
        output_paths.write_data(".npz", lambda file: np.savez(file, allow_pickle=False, **arrays)),
    ]
    for quantity, by_layer in findings.report.arrays.items():
        figure = array_drawing.draw(f"{findings.name}: {quantity}", by_layer)
        paths += figures.write(figure, output_paths, f"_{quantity}", _DOTS_PER_INCH)
    return paths


def write_course(found: Sequence[Findings], output_paths: OutputPaths) -> list[pathlib.Path]:
    """Writes the numbers of all checkpoints of a run, and a figure for each kind of quantity.

    Args:
        found: one for each checkpoint, in the order of their steps.
        output_paths: files to write; their directories are made.
    """
    rows = [row for findings in found for row in findings.rows()]
    paths = [_write_rows(rows, output_paths)]
    for kind, figure in course_drawing.draw(found).items():
        paths += figures.write(figure, output_paths, f"_{kind.replace(' ', '_')}", _DOTS_PER_INCH)
    return paths


def _write_rows(rows: Sequence[Sequence[Any]], output_paths: OutputPaths) -> pathlib.Path:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([HEADER, *rows])
    return output_paths.write_data(".csv", lambda file: file.write(text.getvalue().encode()))
