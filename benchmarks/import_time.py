"""Seconds that importing tfplastic takes beyond importing TensorFlow and Keras, for either Keras.

Each measurement is a fresh process; the least of the repetitions counts, after one that warms the disk cache.

    python benchmarks/import_time.py --repetitions=5 --json=import_time.json
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

BASE = "import tensorflow as tf; tf.keras.Model"
SUBPACKAGES = "[getattr(tp, name) for name in tp.__all__ if name != 'rl']"
STATEMENTS = {
    "tensorflow and keras": BASE,
    "import tfplastic": f"{BASE}; import tfplastic",
    "every subpackage but rl": f"{BASE}; import tfplastic as tp; {SUBPACKAGES}",
}


def seconds(statement: str, legacy_keras: bool, repetitions: int) -> float:
    """The least wall time of `statement` in a fresh process, without the interpreter's own start."""
    timed = f"import time; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_USE_LEGACY_KERAS": str(int(legacy_keras)),
    }
    command = [sys.executable, "-c", timed]
    runs = [
        float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
        for _ in range(repetitions + 1)
    ]
    return min(runs[1:])


def main() -> None:
    """Measures, prints a table and writes it as JSON if asked to."""
    parser = argparse.ArgumentParser(description="Import time of tfplastic beyond TensorFlow and Keras")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--json", type=Path, help="a file to write the results to")
    arguments = parser.parse_args()

    results = {}
    for legacy_keras in (False, True):
        keras = "Keras 2" if legacy_keras else "Keras 3"
        times = {
            name: seconds(code, legacy_keras, arguments.repetitions) for name, code in STATEMENTS.items()
        }
        base = times["tensorflow and keras"]
        results[keras] = times
        for name, value in times.items():
            print(f"{keras}  {name:24s} {value:6.2f} s  {value - base:+6.2f} s")
    if arguments.json:
        machine = {
            "platform": platform.platform(),
            "python": platform.python_version(),
            "cpus": os.cpu_count(),
        }
        arguments.json.write_text(json.dumps({"machine": machine, "seconds": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
