"""Pages of XProf, made from a trace by its own converter in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_CONVERT = """
import sys
from xprof.convert import raw_to_tool_data
data, _ = raw_to_tool_data.xspace_to_tool_data(sys.argv[2:], sys.argv[1], {})
sys.stdout.write(data if isinstance(data, str) else data.decode())
"""


def page(log_dir: Path, tool: str) -> Any:
    """Returns XProf's page `tool` of the one trace below TensorBoard's log directory."""
    (trace,) = (log_dir / "plugins" / "profile").glob("*/*.xplane.pb")
    command = [sys.executable, "-c", _CONVERT, tool, str(trace)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr[-2_000:]
    return json.loads(result.stdout)


def steps(log_dir: Path) -> dict[str, float]:
    """Returns the steps of the overview page with their times in milliseconds."""
    table = page(log_dir, "overview_page")[1]
    return {row["c"][0]["v"]: row["c"][-1]["v"] for row in table["rows"]}


def span_names(log_dir: Path) -> list[str]:
    """Returns the names in the trace viewer, each as often as it is there."""
    return [event.get("name", "") for event in page(log_dir, "trace_viewer")["traceEvents"]]


def operations(log_dir: Path) -> list[str]:
    """Returns the names of all operations that took time, the most expensive first."""
    table = page(log_dir, "framework_op_stats")[0]
    names = [row["c"][3]["v"] for row in table["rows"]]
    return [name for name in names if name != "IDLE"]
