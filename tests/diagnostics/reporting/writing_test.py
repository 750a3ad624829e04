from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic import diagnostics, writers
from tfplastic.diagnostics.reporting.writing import charts, matrix_image, write


def test_each_kind_of_value_has_its_place():
    writer = writers.MemoryWriter()
    matrix = np.array([[1.0, -0.5], [0.0, 1.0]])
    write(
        writer,
        7,
        {"norm": {"a": 2.0, "all": np.float64(3.0)}, "spread": {"a": [1.0, 2.0]}, "c": {"a": matrix}},
    )
    assert writer.scalar_rows == [(7, "diagnostics/norm/a", 2.0), (7, "diagnostics/norm/all", 3.0)]
    ((step, tag, values),) = writer.histogram_rows
    assert (step, tag, values.tolist()) == (7, "diagnostics/spread/a", [1.0, 2.0])
    ((step, tag, arrays),) = writer.array_rows
    assert (step, tag, list(arrays)) == (7, "diagnostics/c/a", ["matrix"])
    np.testing.assert_array_equal(arrays["matrix"], matrix)
    assert writer.image_rows[0][:2] == (7, "diagnostics/c/a")
    np.testing.assert_array_equal(writer.image_rows[0][2], matrix_image(matrix))


def test_colors_of_a_matrix():
    image = matrix_image([[2.0, -2.0, 0.0, np.nan]])
    assert image.shape == (128, 512, 3) and image.dtype == np.uint8
    red, blue, white, black = (image[64, 64 + 128 * column].tolist() for column in range(4))
    assert (red, blue, white, black) == ([178, 24, 43], [33, 102, 172], [247, 247, 247], [0, 0, 0])


def test_half_of_the_largest_is_half_way_to_its_color():
    image = matrix_image([[1.0, 0.5]])
    np.testing.assert_allclose(image[0, -1], (np.array([247, 247, 247]) + [178, 24, 43]) / 2, atol=0.5)


def test_large_and_all_zero_matrices_are_images_too():
    assert matrix_image(np.eye(600)).shape == (600, 600, 3)
    assert (matrix_image(np.zeros((2, 2))) == 247).all()


def test_charts():
    assert charts(["a", "b"]) == {"Diagnostics": {"a": "diagnostics/a/.*", "b": "diagnostics/b/.*"}}


def test_a_spectrum_is_written_as_nodes_and_weights(tmp_path):
    model = tf.keras.Sequential([tf.keras.Input((3,)), tf.keras.layers.Dense(1)])
    inputs = np.diag([1.0, 2.0, 3.0]).astype(np.float32)
    snapshot = diagnostics.Snapshot(model, inputs, loss=lambda _, outputs: outputs[:, 0] ** 2)
    measured: dict[str, Any] = diagnostics.hessian_spectral_density(snapshot, num_probes=2, num_points=5)
    writer = writers.MetricsFileWriter(tmp_path)
    write(writer, 7, {"hessian_spectral_density": measured})
    writer.close()
    with np.load(tmp_path / "arrays" / "diagnostics" / "hessian_spectral_density" / "all" / "7.npz") as file:
        assert set(file) == {"nodes", "weights", "size"}
        nodes, weights = file["nodes"], file["weights"]
        assert int(file["size"]) == 4
    z = np.concatenate([inputs, np.ones((3, 1))], axis=1)
    # As many steps as there are eigenvalues find them all.
    np.testing.assert_allclose(nodes, [np.linalg.eigvalsh(2 * z.T @ z / 3)] * 2, atol=1e-5)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert measured["all"].shape == (5,) and not measured["all"][1:].arrays
