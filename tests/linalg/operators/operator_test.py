"""The contract of every operator: a table of all, against dense float64 matrices made by differences."""

from typing import Any, cast

import numpy as np
import pytest
import tensorflow as tf

from tfplastic import linalg

_GENERATOR = np.random.default_rng(0)
X = _GENERATOR.standard_normal((7, 3))
Y = _GENERATOR.integers(0, 2, 7)
POINT = _GENERATOR.standard_normal(20)  # 3 x 4 and 4 x 2


def _variables(dtype="float64"):
    first = tf.Variable(POINT[:12].reshape(3, 4), dtype=dtype, name="hidden/kernel")
    return [first, tf.Variable(POINT[12:].reshape(4, 2), dtype=dtype, name="output/kernel")]


def _network(variables):
    return lambda x: tf.matmul(tf.tanh(tf.matmul(x, variables[0])), variables[1])


_NETWORK = _network


def _losses(outputs, y):
    return tf.nn.sparse_softmax_cross_entropy_with_logits(y, outputs)


def _hessian(variables, data=(X, Y), **kwargs):
    network = _network(variables)
    return linalg.HessianOperator(
        lambda x, y: tf.reduce_mean(_losses(network(x), y)), variables, data, **kwargs
    )


def _gauss_newton(variables, data=(X, Y), **kwargs):
    loss = lambda outputs, y: tf.reduce_mean(_losses(outputs, y))  # noqa: E731
    return linalg.GaussNewtonOperator(_network(variables), loss, variables, data, **kwargs)


def _fisher(variables, data=(X, Y), **kwargs):
    network = _network(variables)
    return linalg.EmpiricalFisherOperator(lambda x, y: _losses(network(x), y), variables, data, **kwargs)


def _ntk(variables):
    return linalg.NTKOperator(_network(variables), variables, X)


OPERATORS = {"hessian": _hessian, "gauss_newton": _gauss_newton, "fisher": _fisher, "ntk": _ntk}
OVER_DATA = {name: make for name, make in OPERATORS.items() if name != "ntk"}


def _outputs_at(point):
    return np.tanh(X @ point[:12].reshape(3, 4)) @ point[12:].reshape(4, 2)


def _losses_at(outputs):
    shifted = outputs - outputs.max(axis=1, keepdims=True)
    return np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(7), Y]


def _jacobian(function, point, step=1e-5):
    """Central differences of a numpy function, `[outputs, point]`."""
    offsets = step * np.eye(len(point))
    return np.stack([(function(point + each) - function(point - each)).ravel() for each in offsets], 1) / (
        2 * step
    )


def _dense(name):
    """The matrix from numpy alone."""
    jacobian = _jacobian(_outputs_at, POINT)
    if name == "ntk":
        return jacobian @ jacobian.T
    if name == "fisher":
        gradients = _jacobian(lambda point: _losses_at(_outputs_at(point)), POINT)
        return gradients.T @ gradients / 7
    if name == "gauss_newton":
        outputs = _outputs_at(POINT)
        p = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
        blocks = [np.diag(each) - np.outer(each, each) for each in p]  # of cross-entropy by its logits
        curvature = np.zeros((14, 14))
        for index, block in enumerate(blocks):
            curvature[2 * index : 2 * index + 2, 2 * index : 2 * index + 2] = block / 7
        return jacobian.T @ curvature @ jacobian
    gradient = lambda at: _jacobian(lambda p: _losses_at(_outputs_at(p)).mean(), at, 1e-4)  # noqa: E731
    return _jacobian(gradient, POINT, 1e-4)


@pytest.mark.parametrize("name", OPERATORS)
def test_equals_the_dense_matrix(name):
    operator = OPERATORS[name](_variables())
    wanted = _dense(name)
    tolerance = 1e-6 if name == "hessian" else 1e-9  # of double differences of the loss, and of single ones
    assert operator.shape == wanted.shape and operator.dtype == np.float64
    dense = operator.to_dense().numpy()
    np.testing.assert_allclose(dense, wanted, atol=tolerance)
    np.testing.assert_allclose(dense, dense.T, atol=1e-14)
    if name != "hessian":
        assert np.linalg.eigvalsh(dense).min() > -1e-12
    vectors = _GENERATOR.standard_normal((len(wanted), 3))
    np.testing.assert_allclose(operator.matvec(vectors[:, 0]), dense @ vectors[:, 0], atol=1e-13)
    np.testing.assert_allclose(operator @ vectors[:, 1], dense @ vectors[:, 1], atol=1e-13)
    np.testing.assert_allclose(operator @ vectors, dense @ vectors, atol=1e-13)
    single = OPERATORS[name](_variables("float32"))
    assert single.dtype == np.float32 and single.matvec(vectors[:, 0]).dtype == tf.float32
    np.testing.assert_allclose(single.matmat(vectors), dense @ vectors, atol=1e-4)


@pytest.mark.parametrize("name", OVER_DATA)
def test_minibatches_and_datasets_give_the_operator_of_all_data(name):
    variables = _variables()
    wanted = _dense(name)
    tolerance = 1e-6 if name == "hessian" else 1e-9
    whole = OVER_DATA[name](variables).to_dense()
    dataset = tf.data.Dataset.from_tensor_slices((X, Y)).batch(3)  # 3, 3 and 1 examples
    for operator in (OVER_DATA[name](variables, batch_size=4), OVER_DATA[name](variables, dataset)):
        np.testing.assert_allclose(operator.to_dense(), wanted, atol=tolerance)
        np.testing.assert_allclose(operator.to_dense(), whole, atol=1e-14)
        vector = np.ones(20)
        np.testing.assert_allclose(operator @ vector, tf.linalg.matvec(whole, vector), atol=1e-14)
    assert OVER_DATA[name](variables, dataset).is_deterministic()


def test_sums_over_data():
    variables = _variables()
    network = _network(variables)
    summed = linalg.HessianOperator(
        lambda x, y: tf.reduce_sum(_losses(network(x), y)), variables, (X, Y), reduction="sum", batch_size=2
    )
    np.testing.assert_allclose(summed.to_dense(), 7 * _hessian(variables).to_dense(), atol=1e-13)


def test_a_dictionary_is_one_argument_and_lists_are_arrays():
    x = tf.Variable([1.0, 2.0])
    loss_fn = lambda data: tf.reduce_mean(data["scale"] * tf.reduce_sum(x**2))  # noqa: E731
    operator = linalg.HessianOperator(loss_fn, [x], {"scale": [1.0, 2.0, 6.0]}, batch_size=2)
    assert operator.to_dense().numpy().tolist() == [[6.0, 0.0], [0.0, 6.0]]


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("by", ["variable", "layer"])
def test_blocks(name, by):
    variables = _variables()
    operator = OPERATORS[name](variables)
    blocks = operator.blocks(by)
    assert list(blocks) == {"variable": ["hidden/kernel", "output/kernel"], "layer": ["hidden", "output"]}[by]
    dense = operator.to_dense().numpy()
    parts = [block.to_dense().numpy() for block in blocks.values()]
    if name == "ntk":
        np.testing.assert_allclose(sum(parts), dense, atol=1e-13)
    else:
        np.testing.assert_allclose(parts[0], dense[:12, :12], atol=1e-13)
        np.testing.assert_allclose(parts[1], dense[12:, 12:], atol=1e-13)


@pytest.mark.parametrize("name", OPERATORS)
def test_loops_of_products_equal_single_ones(name):
    operator = OPERATORS[name](_variables("float32"))
    products, vectors = [], [np.ones(operator.shape[0], np.float32)]

    def advance(product):
        products.append(product.copy())
        vectors.append(product / np.abs(product).max())
        return vectors[-1] if len(products) < 70 else None  # beyond two calls of the program

    kept = vectors[0].copy()
    operator.feed(vectors[0], advance)
    assert len(products) == 70
    np.testing.assert_array_equal(vectors[0], kept)
    for vector, product in zip(vectors[::23], products[::23], strict=False):
        np.testing.assert_allclose(operator.matvec(vector), product, rtol=1e-5, atol=1e-7)


def test_loops_of_products_whose_parts_are_parts_of_the_vector():
    x, y = tf.Variable([1.0] * 16), tf.Variable([1.0] * 16)
    operator = linalg.HessianOperator(lambda: tf.reduce_sum(x * y), [x, y])  # H swaps the halves
    vectors = []

    def advance(product):
        vectors.append(product.copy())
        return vectors[-1] + 1 if len(vectors) < 3 else None

    start = np.arange(32, dtype=np.float32)
    operator.feed(start, advance)
    swapped = np.roll(start, 16)
    np.testing.assert_array_equal(vectors, [swapped, start + 1, swapped + 2])


@pytest.mark.parametrize("data", [(X, Y), None], ids=["minibatches", "one batch"])
def test_what_a_loop_of_products_raises_is_raised_as_it_is(data):
    variables = _variables()
    operator = _hessian(variables, batch_size=2) if data is not None else _hessian(variables)

    def interrupted(product):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        operator.feed(np.ones(20), interrupted)
    np.testing.assert_allclose(operator @ np.ones(20), tf.reduce_sum(operator.to_dense(), axis=1), atol=1e-13)


def test_each_program_is_traced_once():
    variables, traces = _variables("float32"), []
    network = _network(variables)

    def loss_fn(x, y):
        traces.append(None)
        return tf.reduce_mean(_losses(network(x), y))

    operator = linalg.HessianOperator(loss_fn, variables, (X, Y))

    def use(num_vectors, num_steps):
        operator.matvec(np.ones(20))
        operator.matmat(np.ones((20, num_vectors)))
        linalg.lanczos(operator, num_steps)

    use(2, 3)
    before = len(traces)
    use(5, 4)
    variables[0].assign(2 * variables[0])
    use(1, 2)
    assert before <= 4 and len(traces) == before


def test_data_that_change_between_passes_are_an_error():
    shuffled = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(7, seed=1).batch(2)
    operator = _hessian(_variables(), shuffled)
    assert not operator.is_deterministic()
    message = (
        "^`operator` must be the same at each pass over its data."
        " Received: one whose loss changed between two passes, as with a dataset that shuffles$"
    )
    with pytest.raises(ValueError, match=message):
        linalg.lanczos(operator, 3)
    with pytest.raises(ValueError, match=message):
        linalg.eigsh(operator)


def test_a_density_asks_once_whether_the_loss_changes(monkeypatch):
    operator, asked = _hessian(_variables()), []
    monkeypatch.setattr(operator, "is_deterministic", lambda: not asked.append(None))
    linalg.spectral_density(operator, 2, num_probes=3)
    assert len(asked) == 1


@pytest.mark.parametrize("name", OPERATORS)
def test_variables_of_another_model_are_an_error(name, monkeypatch):
    others = [tf.Variable(tf.ones([2, 2], tf.float64), name=f"other/{index}") for index in range(4)]
    used = _variables()
    monkeypatch.setitem(globals(), "_network", lambda _: _NETWORK(used))
    rule = "`variables` must be some that .* depends on. Received: other/0, other/1, other/2, ..."
    operator = OPERATORS[name](others)
    for product in (operator.matvec, operator.matmat):
        with pytest.raises(ValueError, match=f"^{rule}$") as error:
            product(np.ones(operator.shape[:1] if product == operator.matvec else (operator.shape[0], 1)))
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=f"^{rule}$"):
        linalg.lanczos(operator, 2)
    assert not OPERATORS[name](others[:1]).to_dense().numpy().any()
    block = OPERATORS[name]([*used, *others]).blocks("layer")["other"]
    assert not block.to_dense().numpy().any()


def test_forward_mode_falls_back_where_it_is_wrong():
    x = tf.Variable([1.0, 2.0])
    compiled = tf.function(lambda: tf.reduce_sum(x**4))  # which forward mode takes for a constant
    operator = linalg.HessianOperator(lambda: compiled(), [x], mode="forward-over-reverse")
    with pytest.warns(UserWarning, match="taken as 'reverse-over-reverse'.*off by 100%"):
        dense = operator.to_dense().numpy()
    np.testing.assert_allclose(dense, [[12.0, 0.0], [0.0, 48.0]])


def test_forward_mode_is_not_trusted_where_it_cannot_be_checked():
    x = tf.Variable([0.0, 0.0])
    compiled = tf.function(lambda: tf.reduce_sum(x**4))
    operator = linalg.HessianOperator(lambda: compiled(), [x], mode="forward-over-reverse")
    with pytest.warns(UserWarning, match="cannot be checked"):
        operator.matvec([1.0, 1.0])
    x.assign([1.0, 2.0])
    np.testing.assert_allclose(operator.matvec([1.0, 1.0]), [12.0, 48.0])


def test_blocks_of_two_networks_with_the_same_names():
    names = ["m/dense/kernel", "m/dense_1/kernel", "m/dense/kernel", "m/dense_1/kernel"]
    variables = [tf.Variable([float(index)], name=name) for index, name in enumerate(names)]
    operator = linalg.HessianOperator(lambda: tf.add_n([each[0] ** 2 for each in variables]), variables)
    assert list(operator.blocks("layer")) == ["dense", "dense_1", "dense_2", "dense_1_1"]


def test_numbers_of_python_keep_their_precision():
    x = tf.Variable([1.0], dtype=tf.float64)
    operator = linalg.HessianOperator(lambda data: tf.reduce_mean(data) * x[0] ** 2 / 2, [x], [0.1])
    assert (operator @ [0.1]).numpy().tolist() == [0.1 * 0.1] == operator.matvec([0.1]).numpy().tolist()


def test_errors_of_functions_are_one_line():
    w = tf.Variable(2.0)
    cases = [
        (TypeError, "`loss_fn` must take 2 arguments, the elements of a batch. Received: a function",
         lambda: linalg.HessianOperator(lambda x: w * x[0], [w], ([1.0], [2.0]))),
        (ValueError, "`loss_fn` must return a floating-point scalar. Received: nothing$",
         lambda: linalg.HessianOperator(lambda: None, [w]).matvec([1.0])),
        (ValueError, "`per_example_loss_fn` must return a floating-point vector, an entry for each example.",
         lambda: linalg.EmpiricalFisherOperator(
             lambda x: tf.reduce_mean(w * x, keepdims=True), [w], [1.0, 3.0]).matvec([1.0])),
        (ValueError, "`output_fn` must return a floating-point tensor of a known shape. Received: shape ",
         lambda: linalg.NTKOperator(lambda x: tf.boolean_mask(w * x, x > 0), [w], [1.0, 3.0])),
    ]  # fmt: skip
    for kind, message, make in cases:
        with pytest.raises(kind, match=f"^{message}") as error:
            make()
        assert "\n" not in str(error.value)


def test_errors_are_one_line():
    variables = _variables()
    dataset = tf.data.Dataset.from_tensor_slices((X, Y))
    cases = [
        (
            dict(data=(X, Y[:3])),
            r"`data` must be arrays of one length of at least 1. Received: shapes \[\[7, 3\]",
        ),
        (dict(data=(X[:0], Y[:0])), r"`data` must be arrays of one length of at least 1. Received: shapes"),
        (
            dict(data=dataset.repeat()),
            "`data` must be arrays, or a dataset that ends. Received: an endless tf.data.Dataset",
        ),
        (dict(data=dataset.batch(2), batch_size=3), "`batch_size` must be None unless `data` are arrays"),
        (dict(batch_size=0), "`batch_size` must be an integer of at least 1. Received: 0"),
        (dict(reduction="max"), "`reduction` must be one of 'mean', 'sum'. Received: 'max'"),
        (dict(mode="reverse"), "`mode` must be one of 'reverse-over-reverse', 'forward-over-reverse'."),
    ]
    for kwargs, message in cases:
        with pytest.raises(ValueError, match=f"^{message}") as error:
            _hessian(variables, **kwargs)
        assert "\n" not in str(error.value)
    operator = _hessian(variables)
    with pytest.raises(ValueError, match=r"^`vectors` must be of shape \[20, k\]. Received: shape \[3, 2\]$"):
        operator.matmat(np.ones((3, 2)))
    with pytest.raises(ValueError, match="^`by` must be one of 'variable', 'layer'. Received: 'row'$"):
        operator.blocks("row")
    with pytest.raises(
        ValueError, match="^`data` must hold at least one example. Received: an empty dataset$"
    ):
        _hessian(variables, dataset.batch(2).take(0)).matvec(np.ones(20))
    with pytest.raises(
        ValueError, match=r"^`per_example_loss_fn` must return a floating-point vector, an entry"
    ):
        linalg.EmpiricalFisherOperator(lambda x: tf.reduce_sum(variables[0]), variables, X).matvec(
            np.ones(20)
        )
    with pytest.raises(
        ValueError, match="^`loss_on_outputs` must return a floating-point scalar. Received: sh"
    ):
        linalg.GaussNewtonOperator(_network(variables), lambda outputs, y: outputs, variables, (X, Y)).matvec(
            np.ones(20)
        )
    with pytest.raises(TypeError, match="^`output_fn` must be a function of the inputs. Received: 3$"):
        linalg.NTKOperator(cast(Any, 3), variables, X)
