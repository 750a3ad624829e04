"""Files with the results of `bin/diagnose spectrum`."""

import pathlib

import numpy as np

from tfplastic.command_line.diagnose import figures
from tfplastic.command_line.diagnose.output_paths import OutputPaths
from tfplastic.command_line.diagnose.spectrum import drawing
from tfplastic.command_line.diagnose.spectrum.measurement import Spectrum
from tfplastic.command_line.diagnose.spectrum.subject import Subject


def write(spectrum: Spectrum, subject: Subject, output_paths: OutputPaths, seed: int) -> list[pathlib.Path]:
    """Writes the arrays and the figure; returns the paths. The same spectrum gives the same bytes.

    Args:
        spectrum: measurements.
        subject: their subject.
        output_paths: files to write; their directories are made.
        seed: seed of the random start vectors.
    """
    arrays = {
        **spectrum.arrays(),
        "step": np.int64(-1 if subject.step is None else subject.step),
        "num_examples": np.int64(subject.num_examples),
        "seed": np.int64(seed),
    }
    figure = drawing.draw(spectrum, subject)
    path = output_paths.write_data(".npz", lambda file: np.savez(file, allow_pickle=False, **arrays))
    return [path, *figures.write(figure, output_paths)]
