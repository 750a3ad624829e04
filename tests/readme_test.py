"""The README's Python example runs as it stands."""

import pathlib
import re

README = pathlib.Path(__file__).resolve().parent.parent / "README.md"


def test_the_python_example_runs():
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    names = {}
    exec(compile(code, str(README), "exec"), names)
    report = names["tp"].diagnostics.measure(names["snapshot"], [names["tp"].diagnostics.dead_units])
    assert set(report["dead_units"]) == {"conv1_relu", "conv2_relu", "conv3_relu", "dense_relu"}
