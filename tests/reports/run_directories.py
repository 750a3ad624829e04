"""Run directories as a training run leaves them, written by hand."""

import json

import numpy as np


def write_run(path, seed=0, scalars=None, arrays=None, state="finished", config="", **status):
    """A run directory: scalars {tag: [(step, value), ...]}, arrays {tag: {step: {key: array}}}."""
    path.mkdir(parents=True)
    rows = sorted((step, tag, value) for tag, series in (scalars or {}).items() for step, value in series)
    lines = "".join(f"{step},{tag},{float(value)!r}\n" for step, tag, value in rows)
    (path / "metrics.csv").write_text(f"step,tag,value\n{lines}")
    (path / "operative_config.gin").write_text(f"train.seed = {seed}\n{config}")
    last = max((step for step, _, _ in rows), default=0)
    entries = {"state": state, "step": last, "total_steps": last, "error": None, "wall_time_s": 1.5} | status
    (path / "status.json").write_text(json.dumps(entries))
    for tag, files in (arrays or {}).items():
        for step, values in files.items():
            file = path / "arrays" / tag / f"{step}.npz"
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez(file, **values)
    return path
