"""CPU seconds of the first `diagnose` of a model, which traces and compiles everything, for either Keras.

Each measurement is a fresh process with one thread; the least of the repetitions counts. The first call of
the model itself, compiled, is the least that anybody needs.

    python benchmarks/first_call.py --repetitions=3 --json=first_call.json
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

# The root of the repository, of which `benchmarks` is a package, also where this file is run as a script.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.processes import ROOT, machine

BOUND = 10  # CPU seconds for the first `diagnose`

MODEL = """
import resource
import numpy as np, tensorflow as tf
from tfplastic import diagnostics

def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime

model = tf.keras.applications.ConvNeXtTiny(weights=None, input_shape=(64, 64, 3), classes=10)
inputs = np.random.default_rng(0).uniform(0, 255, (32, 64, 64, 3)).astype(np.float32)
start = cpu_seconds()
"""
CALLS = {
    "the model, first call": "tf.function(lambda x: model(x, training=False), autograph=False)(inputs)",
    "diagnose 'cheap', first call": "diagnostics.diagnose(model, inputs, budget='cheap')",
}


def cpu_seconds(call: str, legacy_keras: bool, repetitions: int) -> float:
    """The least CPU time of `call` in a fresh process, without imports and the making of the model."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_USE_LEGACY_KERAS": str(int(legacy_keras)),
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"), "1"),
    }
    program = f"{MODEL}{call}\nprint(cpu_seconds() - start)"
    runs = [
        subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        ).stdout
        for _ in range(repetitions)
    ]
    return min(float(run.split()[-1]) for run in runs)


def main() -> None:
    """Measures, prints a table and writes it as JSON if asked to."""
    parser = argparse.ArgumentParser(
        description="First call of diagnose on ConvNeXtTiny, 32 images of 64 x 64"
    )
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--json", type=Path, help="a file to write the results to")
    arguments = parser.parse_args()

    results = {}
    for legacy_keras in (False, True):
        keras = "Keras 2" if legacy_keras else "Keras 3"
        results[keras] = {
            name: cpu_seconds(call, legacy_keras, arguments.repetitions) for name, call in CALLS.items()
        }
        for name, seconds in results[keras].items():
            print(f"{keras}  {name:28s} {seconds:6.2f} CPU-s")
    if arguments.json:
        text = json.dumps({"machine": machine(), "bound": BOUND, "cpu_seconds": results}, indent=2)
        arguments.json.write_text(f"{text}\n")


if __name__ == "__main__":
    main()
