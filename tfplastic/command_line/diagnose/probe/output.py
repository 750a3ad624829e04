"""Files with the results of `bin/diagnose probe`."""

import csv
import io
import pathlib
from typing import BinaryIO

import numpy as np

from tfplastic.command_line.diagnose import figures
from tfplastic.command_line.diagnose.places import Places
from tfplastic.command_line.diagnose.probe import drawing
from tfplastic.command_line.diagnose.probe.course import Course


def write(course: Course, places: Places) -> list[pathlib.Path]:
    """Writes arrays, scalars and the figure; returns the paths. The same course gives the same bytes.

    Args:
        course: results to write.
        places: where to; directories are made.
    """
    figure = drawing.draw(course)
    arrays = course.arrays()
    return [
        places.write_data(".npz", lambda file: np.savez(file, allow_pickle=False, **arrays)),
        places.write_data(".csv", lambda file: _write_rows(course, file)),
        *figures.write(figure, places),
    ]


def _write_rows(course: Course, file: BinaryIO) -> None:
    rows = course.rows()
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    file.write(text.getvalue().encode())
