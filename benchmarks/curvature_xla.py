"""CPU time of Hessian products in the graph and in XLA: the basis of the rule table of curvature.

    .venv/bin/python benchmarks/curvature_xla.py

The problems are those of curvature.py. A product alone, and products in a `tf.while_loop` that records
the gradient once, each vector made of the last product; both as a graph and compiled by XLA, one thread. They
take turns; a ratio compares two of one round.
"""

import argparse
import os
import pathlib
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "0"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

# The root of the repository, of which `benchmarks` is a package, also where this file is run as a script.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import tensorflow as tf

from benchmarks import curvature_problem
from benchmarks.processes import pin, spread, table
from benchmarks.tfplastic_curvature import hessian
from tfplastic.linalg import flatten

_ROUNDS, _PRODUCTS = 5, 8


def programs(problem: str) -> dict[str, Callable[[tf.Tensor], tf.Tensor]]:
    """By name, functions that make `_PRODUCTS` products one after another."""
    operator = hessian(curvature_problem.make(problem))
    linearize: Any = operator._linearize

    def single(vector: tf.Tensor) -> tf.Tensor:
        return flatten(linearize()(vector))

    def loop(vector: tf.Tensor) -> tf.Tensor:
        product = linearize()

        def body(step: tf.Tensor, vector: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return step + 1, tf.math.l2_normalize(flatten(product(vector)))

        return tf.while_loop(lambda step, _: step < _PRODUCTS, body, (0, vector), parallel_iterations=1)[1]

    found = {}
    for way, jit in (("graph", False), ("XLA", True)):
        one = tf.function(single, jit_compile=jit)

        def repeated(vector: tf.Tensor, one: Callable[[tf.Tensor], tf.Tensor] = one) -> tf.Tensor:
            for _ in range(_PRODUCTS):
                vector = one(vector)
            return vector

        found[f"single, {way}"] = repeated
        found[f"loop, {way}"] = tf.function(loop, jit_compile=jit)
    return found


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description="CPU time of Hessian products in the graph and in XLA.")
    parser.add_argument("--core", type=int, help="the core to use, if not the first there is")
    pin(1, parser.parse_args().core)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for problem in curvature_problem.NAMES:
        rows = [("CPU ms a product", "graph", "XLA", "XLA / graph")]
        size = curvature_problem.make(problem).size
        vector = tf.random.stateless_normal([size], [0, 0]) / size**0.5
        found, taken = programs(problem), {}
        for _ in range(_ROUNDS + 1):  # the first compiles
            for name, program in found.items():
                start = time.process_time()
                program(vector).numpy()
                taken.setdefault(name, []).append(1e3 * (time.process_time() - start) / _PRODUCTS)
        for kind in ("single", "loop"):
            graph, xla = taken[f"{kind}, graph"][1:], taken[f"{kind}, XLA"][1:]
            ratio = statistics.median(one / other for one, other in zip(xla, graph, strict=True))
            rows.append((f"{problem}, {kind}", spread(graph, 1), spread(xla, 1), f"{ratio:.2f}"))
        print(table(rows), flush=True)


if __name__ == "__main__":
    main()
