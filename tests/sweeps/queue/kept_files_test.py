"""The committed files of a run."""

import numpy as np
import pytest

from tfplastic.sweeps.queue import kept_files


@pytest.fixture
def run(tmp_path):
    """A run directory as training leaves it, with a checkpoint."""
    run = tmp_path / "run"
    for name in ("config.gin", "operative_config.gin", "metrics.csv", "status.json"):
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_text(name)
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "large").write_bytes(bytes(10))
    generator = np.random.default_rng(0)
    files = {
        "probe/curves/0": {
            "curves": generator.uniform(0.01, 1, [5, 2_000]),
            "final_losses": np.arange(5) / 3,
        },
        "probe/inputs/0": {"inputs": np.zeros([9, 9])},
        "diagnostics/gradient_covariance/all/7": {"matrix": generator.uniform(-1, -0.01, [100, 100])},
        "diagnostics/gradient_covariance/hidden1/7": {"matrix": np.zeros([100, 100])},
        "diagnostics/hessian_spectral_density/all/0": {"nodes": np.full([10, 90], 1e-9), "size": np.array(3)},
        "far/0": {"far": np.full(5_000, 1e9), "counts": np.arange(5_000)},
    }
    for name, arrays in files.items():
        path = run / "arrays" / f"{name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **arrays)
    return run


def kept(run, arrays, tmp_path):
    target = tmp_path / "paper" / "fig02" / "arm-seed0"
    kept_files.keep(run, arrays, target, tmp_path / "scratch")
    return target


def names(directory):
    return {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}


FOUR = {"config.gin", "operative_config.gin", "metrics.csv", "status.json"}


def test_no_checkpoints_and_no_arrays_that_no_figure_reads(run, tmp_path):
    assert names(kept(run, (), tmp_path)) == FOUR
    target = kept(run, ("probe/curves", "*/gradient_covariance/all"), tmp_path)
    arrays = {"arrays/probe/curves/0.npz", "arrays/diagnostics/gradient_covariance/all/7.npz"}
    assert names(target) == FOUR | arrays
    assert not list((tmp_path / "scratch").iterdir())


def test_large_floats_are_halved_and_all_else_is_as_it_was(run, tmp_path):
    root = kept(run, ("*",), tmp_path) / "arrays"
    for path in (run / "arrays").rglob("*.npz"):
        before, after = np.load(path), np.load(root / path.relative_to(run / "arrays"))
        assert before.files == after.files
        for name in before.files:
            np.testing.assert_allclose(after[name], before[name], rtol=1e-3, atol=1e-4 * (name != "nodes"))
            if name in ("curves", "matrix"):
                assert after[name].dtype == np.float16
            elif name == "far":
                assert after[name].dtype == np.float32
            else:
                np.testing.assert_array_equal(after[name], before[name])
                assert after[name].dtype == before[name].dtype


@pytest.mark.parametrize(
    ("number", "kind"),
    [(1e-8, "float32"), (6e-5, "float32"), (6.2e-5, "float16"), (6.5e4, "float16"), (6.6e4, "float32")]
    + [(np.nan, "float16"), (-np.inf, "float16"), (1e-40, "float64"), (-1e300, "float64")],
)
def test_every_number_keeps_three_digits(run, tmp_path, number, kind):
    curves = np.linspace(0.0, 1.0, 5_000)
    curves[7] = number
    np.savez(run / "arrays" / "far" / "0.npz", curves=curves)
    after = np.load(kept(run, ("far",), tmp_path) / "arrays" / "far" / "0.npz")["curves"]
    np.testing.assert_allclose(after, curves, rtol=5e-4, atol=0)
    assert after.dtype == kind


def test_what_was_there_is_replaced(run, tmp_path):
    target = kept(run, ("probe/curves",), tmp_path)
    (run / "status.json").write_text("new")
    assert names(kept(run, (), tmp_path)) == FOUR and (target / "status.json").read_text() == "new"


def test_a_file_that_is_too_large_is_refused_and_nothing_is_left(run, tmp_path):
    (run / "metrics.csv").write_bytes(bytes(1_500_001))
    with pytest.raises(
        ValueError, match=r"^`metrics.csv` must be at most 1.5 MB to be committed. Received: 1.5"
    ):
        kept(run, (), tmp_path)
    assert not (tmp_path / "paper").exists()


def test_all_files_together_have_a_limit(run, tmp_path, monkeypatch):
    target = kept(run, (), tmp_path)
    monkeypatch.setattr(kept_files, "LARGEST_FOLDER", kept_files.size_of(tmp_path / "paper"))
    kept(run, (), tmp_path)  # in place of itself
    with pytest.raises(ValueError, match=r"paper` must hold at most 0 MB. Received: 0.0 MB$"):
        kept(run, ("probe/curves",), tmp_path)
    assert names(target) == FOUR
