import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.linalg.dense_operator import DenseOperator, broken_at, with_eigenvalues
from tfplastic import linalg

_VALUES = np.concatenate([np.linspace(-1, 1, 117), [10.0, 12.0, 30.0]])


def _density(num_steps=20, num_probes=5, seed=0, progress=None):
    return linalg.spectral_density(with_eigenvalues(_VALUES), num_steps, num_probes, seed, progress)


def test_full_order_finds_every_eigenvalue():
    values = np.array([-3.0, -1.0, 0.5, 2.0, 7.0])
    density = linalg.spectral_density(with_eigenvalues(values))  # 90 steps are cut to 5
    assert density.nodes.shape == density.weights.shape == (10, 5) and density.size == 5
    np.testing.assert_allclose(density.nodes, np.tile(values, (10, 1)), atol=1e-12)


def test_weights_are_the_start_vectors_squared_coordinates():
    """At full order node i is lambda_i, and its weight (v . u_i)^2, v being the first vector multiplied."""
    operator = DenseOperator(np.diag([-3.0, -1.0, 0.5, 2.0, 7.0]))
    density = linalg.spectral_density(operator, num_probes=3)
    starts = np.array(operator.columns).reshape(3, 5, 5)[:, 0]
    np.testing.assert_allclose(density.weights, starts**2, atol=1e-12)


def test_is_the_gauss_quadrature_of_the_start_vector():
    operator = with_eigenvalues(_VALUES)
    density = linalg.spectral_density(operator, num_steps=6, num_probes=1)
    start = operator.columns[0]
    for power in range(12):  # exact up to degree 2 * 6 - 1
        form = start @ np.linalg.matrix_power(operator.matrix, power) @ start
        np.testing.assert_allclose(density.weights[0] @ density.nodes[0] ** power, form, rtol=1e-9)


def test_defaults_and_dtypes():
    density = linalg.spectral_density(with_eigenvalues(_VALUES, dtype="float32"))
    assert density.nodes.shape == density.weights.shape == (10, 90)
    assert density.nodes.dtype == density.weights.dtype == np.float64
    assert np.all(np.diff(density.nodes) > 0) and np.all(density.weights >= 0)
    np.testing.assert_allclose(density.weights.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(density.nodes[:, -1], 30, rtol=1e-6)


def test_moments_hold_the_truth_at_the_stated_rate():
    operator = with_eigenvalues(_VALUES)
    # Two steps are exact up to degree 3.
    densities = [linalg.spectral_density(operator, 2, seed=seed) for seed in range(200)]
    for power in (1, 2):
        intervals = np.array([density.moment(power).interval() for density in densities])
        truth = np.mean(_VALUES**power)
        # 95 % of 200 are 190; skewed as v . A v is here, Student's intervals of 10 probes hold somewhat less.
        assert 170 <= np.sum((intervals[:, 0] <= truth) & (truth <= intervals[:, 1])) <= 199


def test_moments_are_trace_and_frobenius_norm():
    operator = with_eigenvalues(_VALUES)
    density = linalg.spectral_density(operator, num_probes=30)
    for power, total in ((1, np.trace(operator.matrix)), (2, np.sum(operator.matrix**2))):
        moment = density.moment(power)
        assert abs(moment.value - total / 120) < 3 * moment.standard_error
        assert (moment.num_probes, moment.num_products, moment.converged) == (30, 2700, True)
    zeroth = density.moment(0)
    np.testing.assert_allclose([zeroth.value, zeroth.standard_error], [1, 0], atol=1e-12)
    assert np.isnan(_density(num_probes=1).moment(1).standard_error)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e5])
def test_integrates_to_one_on_the_default_grid(scale):
    density = linalg.spectral_density(with_eigenvalues(scale * _VALUES), 20, 2)
    np.testing.assert_allclose(np.trapezoid(density.density(), density.grid()), 1, atol=2e-8)
    width = 0.3 * scale
    wide = density.density(width=width)
    np.testing.assert_allclose(np.trapezoid(wide, density.grid(width)), 1, atol=2e-8)


def test_density_is_the_mean_of_gaussians():
    density = _density(num_steps=3, num_probes=2)
    points = np.array([[-2.0, 0.0], [1.0, 29.0]])
    expected = [
        np.mean([
            sum(w * np.exp(-((t - x) ** 2) / (2 * 0.5**2)) / np.sqrt(2 * np.pi * 0.5**2)
                for x, w in zip(nodes, weights, strict=True))
            for nodes, weights in zip(density.nodes, density.weights, strict=True)
        ])
        for t in points.ravel()
    ]  # fmt: skip
    np.testing.assert_allclose(density.density(points, width=0.5).ravel(), expected, rtol=1e-10)
    assert density.density(points).shape == (2, 2)


def test_outliers_are_bumps_of_a_mass_near_one_over_n():
    density = _density(num_steps=40, num_probes=50)
    points = np.linspace(29, 31, 4001)
    mass = np.trapezoid(density.density(points), points)
    samples = np.sum(density.weights * (density.nodes > 29), axis=1)
    assert abs(mass - 1 / 120) < 3 * samples.std() / np.sqrt(50)


def test_width_and_grid_rules():
    wide = linalg.SpectralDensity(np.array([[-10.0, 30.0]]), np.array([[0.5, 0.5]]), size=2)
    assert wide.width() == pytest.approx(np.sqrt(1e-5 * 40))
    narrow = linalg.SpectralDensity(np.array([[0.1, 0.2]]), np.array([[0.5, 0.5]]), size=2)
    assert narrow.width() == pytest.approx(0.1 * np.sqrt(1e-5))
    for node in (0.0, 1e6):
        point = linalg.SpectralDensity(np.array([[node]]), np.array([[1.0]]), size=1)
        assert point.width() == pytest.approx(1e-12 * max(1, node))
    grid = wide.grid()
    assert grid.shape == (10_000,) and grid.dtype == np.float64
    assert grid[0] == pytest.approx(-10.12) and grid[-1] == pytest.approx(30.12)  # 6 * 0.02 beyond
    coarse = wide.grid(width=1.0, num_points=5)  # from -16 to 36 in steps of 1 at most
    assert coarse.shape == (53,) and coarse[0] == -16 and coarse[-1] == 36
    assert wide.grid(width=1e-9).shape == (1_000_000,)  # not 40 thousand million
    assert wide.grid(width=1e-9, num_points=1_000_001).shape == (1_000_001,)


def test_same_seed_same_bits_other_seed_other_bits():
    first, again, other = (_density(seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.nodes, again.nodes)
    np.testing.assert_array_equal(first.weights, again.weights)
    assert not np.any(first.nodes[:, :10] == other.nodes[:, :10])  # outliers are the same from any start
    assert not np.any(first.weights == other.weights)


def test_probes_differ_and_more_of_them_change_no_earlier_one():
    few, many = _density(num_probes=2), _density(num_probes=3)
    np.testing.assert_array_equal(few.nodes, many.nodes[:2])
    assert not np.any(many.weights[0] == many.weights[1])


def test_progress_counts_all_probes():
    calls = []
    _density(num_steps=4, num_probes=3, progress=lambda *call: calls.append(call))
    assert calls == [(count, 12) for count in range(1, 13)]


def test_of_a_hessian():
    weights = tf.Variable(np.linspace(-1, 1, 30))
    operator = linalg.HessianOperator(lambda: tf.reduce_sum(weights**4), [weights])
    density = linalg.spectral_density(operator, num_probes=40)
    values = 12 * weights.numpy() ** 2  # H = diag(12 w^2), of which every eigenvalue but 0 is there twice
    np.testing.assert_allclose(density.nodes, np.tile(np.sort(values), (40, 1)), atol=1e-8)
    moment = density.moment(1)
    assert abs(moment.value - values.mean()) < 3 * moment.standard_error


def test_plot():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    density = _density()
    _, ax = plt.subplots()
    assert density.plot(ax) is ax and density.plot() is not ax
    assert ax.get_yscale() == "log"
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), density.grid())
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), density.density())
    # One eigenvalue of 120 makes a bump 1 / (120 width sqrt(2 pi)) high: in sight, a decade above the end.
    single = 1 / (120 * density.width() * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(ax.get_ylim(), [single / 10, 2 * density.density().max()], rtol=1e-6)
    plt.close("all")


def test_plot_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    message = r"^A plot needs matplotlib, which is missing: pip install 'tfplastic\[reports\]'$"
    with pytest.raises(ImportError, match=message):
        _density().plot()


def test_a_product_that_is_not_finite_names_the_step():
    received = r"^`operator` must give finite products. Received: NaN or Inf at step 2"
    message = received + r"\. Look for it in the weights and data$"
    with pytest.raises(linalg.NonFiniteError, match=message):
        linalg.spectral_density(broken_at(6, np.inf, np.diag(_VALUES)), num_steps=4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_steps": 0}, r"^`num_steps` must be an integer of at least 1. Received: 0$"),
        ({"num_probes": 1.5}, r"^`num_probes` must be an integer of at least 1. Received: 1.5$"),
    ],
)
def test_errors_come_before_any_product(arguments, message):
    operator = with_eigenvalues(_VALUES)
    with pytest.raises(ValueError, match=message):
        linalg.spectral_density(operator, **arguments)
    assert operator.calls == []


def test_errors_of_what_is_asked_of_a_density():
    density = _density()
    with pytest.raises(ValueError, match=r"^`p` must be an integer of at least 0. Received: -1$"):
        density.moment(-1)
    for method in (density.density, density.grid):
        with pytest.raises(ValueError, match=r"^`width` must be a finite number above 0. Received: 0$"):
            method(width=0)
    with pytest.raises(ValueError, match=r"^`num_points` must be an integer of at least 2. Received: 1$"):
        density.grid(num_points=1)
