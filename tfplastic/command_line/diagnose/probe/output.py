"""Files with the results of `bin/diagnose probe`."""

import csv
import io
import pathlib
from typing import BinaryIO

import numpy as np

from tfplastic.command_line.diagnose import figures
from tfplastic.command_line.diagnose.output_paths import OutputPaths
from tfplastic.command_line.diagnose.probe import drawing
from tfplastic.command_line.diagnose.probe.course import Course


def write(course: Course, output_paths: OutputPaths) -> list[pathlib.Path]:
    """Writes arrays, scalars and the figure; returns the paths. The same course gives the same bytes.

    Args:
        course: results to write.
        output_paths: files to write; their directories are made.
    """
    figure = drawing.draw(course)
    arrays = course.arrays()
    return [
        output_paths.write_data(".npz", lambda file: np.savez(file, allow_pickle=False, **arrays)),
        output_paths.write_data(".csv", lambda file: _write_rows(course, file)),
        *figures.write(figure, output_paths),
    ]


def _write_rows(course: Course, file: BinaryIO) -> None:
    rows = course.rows()
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    file.write(text.getvalue().encode())
