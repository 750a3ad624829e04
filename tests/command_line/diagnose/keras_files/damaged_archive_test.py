"""Archives of models in which bytes are other than written: read, or refused in one line."""

import json
import zipfile

import numpy as np

from tfplastic.command_line.diagnose.keras_files import saved_model
from tfplastic.configuration.errors import UsageError


def _refused(path):
    """Returns whether the archive is refused; it raises nothing but that."""
    try:
        saved_model.read(str(path), trust=False)
    except UsageError as error:
        assert "\n" not in str(error)
        return True
    return False


def test_flipped_bits_and_cuts(tmp_path):
    honest, damaged = tmp_path / "honest.keras", tmp_path / "damaged.keras"
    with zipfile.ZipFile(honest, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.0.0"}))
        archive.writestr("config.json", json.dumps({"class_name": "Sequential", "config": {"layers": []}}))
    content = honest.read_bytes()
    assert not _refused(honest)
    generator, refusals = np.random.default_rng(0), 0
    places = range(0, len(content), 7)
    for place in places:
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(generator.integers(8))
        damaged.write_bytes(flipped)
        refusals += _refused(damaged)
        damaged.write_bytes(content[:place])
        assert _refused(damaged)
    assert refusals > len(places) / 4


def test_contents_of_other_kinds(tmp_path):
    pairs = [("[]", "{}"), ("{}", "{}"), ("3", "{}"), ("null", "[]"), ("{", "{")]
    for number, (metadata, config) in enumerate([*pairs, ('{"keras_version": "3"}', "[]")]):
        path = tmp_path / f"{number}.keras"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("metadata.json", metadata)
            archive.writestr("config.json", config)
        assert _refused(path)
