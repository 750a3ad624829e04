"""Names of layers that are no file names, from the callback through files on disk to reports."""

import keras as keras_3
import numpy as np
import pytest
import tf_keras as keras_2

from tfplastic import reports
from tfplastic._text.tags import path_of, tag_of
from tfplastic.callbacks import PlasticityDiagnostics
from tfplastic.diagnostics import dead_units, feature_singular_values

NAMES = {
    "keras_2": ["a/b:c*?", "../x", "/etc/passwd", "café 层", 'a,b"c', "..", "x" * 300, "per%cent\n"],
    "keras_3": ["a:c*?", "..", "café 层", 'a,b"c', "back\\slash", "x" * 300, "per%cent\n", "<|>"],
}  # Keras 3 itself refuses '/'


@pytest.mark.parametrize("keras", [keras_2, keras_3], ids=["keras_2", "keras_3"])
def test_any_name_of_a_layer_from_fit_to_a_report(keras, tmp_path):
    names = NAMES["keras_2" if keras is keras_2 else "keras_3"]

    class Model(keras.Model):  # a functional one of Keras 2 takes no such names
        def __init__(self):
            super().__init__()
            self.stack = [keras.layers.Dense(2, "relu", name=name) for name in names]
            self.head = keras.layers.Dense(1, name="out")

        def call(self, inputs):
            for layer in self.stack:
                inputs = layer(inputs)
            return self.head(inputs)

    model = Model()
    model.compile("sgd", "mse", run_eagerly=True)  # in a graph TensorFlow takes them neither
    x = np.random.default_rng(0).standard_normal((4, 3)).astype("float32")
    some = [dead_units, feature_singular_values]
    watch = PlasticityDiagnostics(x, every=1, log_dir=tmp_path / "logs", quantities=some)
    model.fit(x, x[:, :1], verbose=0, callbacks=[watch])
    assert not watch.left_out and {row["layer"] for row in watch.history} >= set(names)
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]  # nothing beside it
    runs = reports.read_runs(tmp_path)
    for name in names:
        tag = tag_of("diagnostics", "feature_singular_values", name)
        steps = [found.step for found in runs.arrays(tag)]
        assert steps == [0, 1] or steps == [1], tag
        for step in (0, 1):
            path = tmp_path / "logs" / "arrays" / path_of(tag) / f"{step}.npz"
            assert path.is_file() and path.resolve().is_relative_to(tmp_path.resolve() / "logs" / "arrays")
            with np.load(path) as arrays:
                assert arrays.files
    tags = set(runs.tags())
    assert {tag_of("diagnostics", "dead_units", name) for name in names} <= tags
