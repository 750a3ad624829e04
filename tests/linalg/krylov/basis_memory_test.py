import numpy as np
import tensorflow as tf

from tests.linalg.dense_operator import with_eigenvalues
from tfplastic import linalg
from tfplastic.linalg._krylov.basis_memory import BasisMemory


def _hessian(size=6):
    x = tf.Variable(tf.zeros([size]))
    scale = tf.range(1.0, size + 1.0)
    return linalg.HessianOperator(lambda: tf.reduce_sum(scale * x**2) / 2, [x])


def test_memory_that_was_taken_back_is_lent_again_where_it_suffices():
    memory = BasisMemory()
    first = memory.lend(100)
    memory.take_back(first)
    assert memory.lend(80) is first
    memory.take_back(first)
    larger = memory.lend(200)
    assert len(larger) == 200
    memory.take_back(larger)
    assert memory.lend(200) is larger


def test_memory_that_is_lent_is_not_lent_twice():
    memory = BasisMemory()
    assert not np.shares_memory(memory.lend(100), memory.lend(100))


def test_memory_that_is_not_kept_is_another_each_time():
    memory = BasisMemory()
    first = memory.lend(100)
    memory.take_back(first)
    memory.is_kept = False
    second = memory.lend(100)
    assert second is not first
    memory.take_back(second)
    assert memory.lend(100) is not second


def test_a_run_inside_of_a_run_has_memory_of_its_own():
    operator, largest = _hessian(), []
    expected = linalg.spectral_density(_hessian(), 6, 2).nodes

    def progress(done, planned):
        largest.append(float(linalg.eigsh(operator, 1).values[0]))

    found = linalg.spectral_density(operator, 6, 2, progress=progress).nodes
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(largest, [6.0] * 12, rtol=1e-5)


def test_results_do_not_depend_on_what_the_memory_held():
    operator, block = _hessian(), _hessian(3)
    block.basis_memory = operator.basis_memory
    expected = [linalg.spectral_density(_hessian(), 6, 2).nodes, linalg.eigsh(_hessian(), 2).vectors]
    dirty = operator.basis_memory.lend(4_000)
    dirty[:] = 255  # NaN
    operator.basis_memory.take_back(dirty)
    np.testing.assert_array_equal(linalg.spectral_density(operator, 6, 2).nodes, expected[0])
    linalg.eigsh(block, 2)
    np.testing.assert_array_equal(linalg.eigsh(operator, 2).vectors, expected[1])


def test_blocks_share_the_memory_of_their_operator():
    operator = _hessian()
    assert operator.restricted([0]).basis_memory is operator.basis_memory


def test_the_basis_of_lanczos_belongs_to_its_caller():
    operator = _hessian()
    result = linalg.lanczos(operator, 4)
    before = result.basis.copy()
    linalg.spectral_density(operator, 6, 2)
    linalg.lanczos(operator, 4, seed=1)
    np.testing.assert_array_equal(result.basis, before)


def test_vectors_of_eigsh_belong_to_their_caller():
    operator = _hessian()
    vectors = linalg.eigsh(operator, 2).vectors
    before = vectors.copy()
    linalg.eigsh(operator, 2, seed=1, which="SA")
    np.testing.assert_array_equal(vectors, before)


def test_operators_without_memory_of_their_own_do():
    operator = with_eigenvalues([1.0, 2.0, 3.0])
    np.testing.assert_allclose(linalg.spectral_density(operator, 3, 1).nodes, [[1, 2, 3]])
