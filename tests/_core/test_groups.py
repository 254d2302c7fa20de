"""The index of groups and its sums, means and maxima, beside pandas and by property."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minimalml._core import groups
from minimalml._core.groups import GroupIndex, unique_codes

pytestmark = pytest.mark.kernel
REDUCTIONS = ["sum", "mean", "max"]
SEEDS = st.integers(0, 2**32 - 1)
# sums of at most 50 numbers near 1, in the order of the rows
TOLERANCE = {"float32": 1e-6, "float64": 1e-13}


def table(seed, n_columns=3, dtype="float64"):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(50, n_columns)).astype(dtype)
    return values, rng.integers(-3, 9, size=50)


def on_torch(ids, values):
    """Return an index for tensors, and the values as one."""
    torch = pytest.importorskip("torch")
    return GroupIndex(ids, len(values)).to("cpu"), torch.from_numpy(values)


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_columns", [None, 1, 3, 70])
@pytest.mark.parametrize("is_tensor", [False, True])
def test_reductions_are_those_of_pandas(name, dtype, n_columns, is_tensor):
    pd = pytest.importorskip("pandas")
    values, ids = table(0, n_columns or 1, dtype)
    values = values[:, 0] if n_columns is None else values
    index, given_values = GroupIndex(ids, 50), values[::-1].copy()[::-1]
    if is_tensor:
        index, given_values = on_torch(ids, values)
    found = np.asarray(getattr(index, name)(given_values))
    expected = getattr(pd.DataFrame(values).astype(float).groupby(ids), name)()
    assert found.dtype == dtype and found.shape == (len(expected), *values.shape[1:])
    np.testing.assert_allclose(
        found.reshape(expected.shape), expected, rtol=TOLERANCE[dtype], atol=1e-6
    )


@given(SEEDS, st.sampled_from(REDUCTIONS))
def test_the_order_of_rows_and_the_names_of_groups_change_nothing(seed, name):
    values, ids = table(seed)
    rows = np.random.default_rng(seed).permutation(50)
    names = np.array([f"bag {i + 3:02d}" for i in ids])
    expected = getattr(GroupIndex(ids, 50), name)(values)
    moved = getattr(GroupIndex(names[rows], 50), name)(values[rows])
    np.testing.assert_allclose(moved, expected, rtol=1e-12, atol=1e-14)


@given(SEEDS)
def test_weights_count_as_repetitions(seed):
    values, ids = table(seed)
    weight = np.random.default_rng(seed).integers(1, 4, size=50)
    index, repeated = GroupIndex(ids, 50), GroupIndex(ids.repeat(weight), weight.sum())
    tensors, tensor = on_torch(ids, values)
    for name in ("sum", "mean"):
        expected = getattr(repeated, name)(values.repeat(weight, axis=0))
        found = getattr(index, name)(values, weight)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)
        found = getattr(tensors, name)(tensor, tensor.new_tensor(weight))
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


@given(SEEDS, st.booleans())
def test_argmax_is_the_first_of_the_largest_rows(seed, is_tensor):
    values, ids = table(seed)
    values = values.round()  # ties
    index, given_values = GroupIndex(ids, 50), values
    if is_tensor:
        index, given_values = on_torch(ids, values)
    found = np.asarray(index.argmax(given_values))
    for group, name in enumerate(index.ids):
        rows = np.flatnonzero(ids == name)
        np.testing.assert_array_equal(found[group], rows[values[rows].argmax(axis=0)])
    maxima = np.asarray(index.max(given_values))
    np.testing.assert_array_equal(maxima, np.take_along_axis(values, found, axis=0))
    assert index.argmax(given_values[:, 0]).tolist() == found[:, 0].tolist()


@given(SEEDS)
def test_centred_rows_have_zero_means_and_means_stay_means(seed):
    values, ids = table(seed)
    weight = np.random.default_rng(seed).uniform(0.1, 2, size=50)
    index = GroupIndex(ids, 50)
    for w in (None, weight):
        centred = index.centred(values, w)
        np.testing.assert_allclose(index.mean(centred, w), 0, atol=1e-14)
    means = index.expand(index.mean(values))
    np.testing.assert_allclose(index.expand(index.mean(means)), means, rtol=1e-14)
    np.testing.assert_allclose(values - means, index.centred(values), atol=1e-15)
    tensors, tensor = on_torch(ids, values)
    np.testing.assert_allclose(
        tensors.centred(tensor), index.centred(values), atol=1e-14
    )


def test_rows_and_first_values_of_groups():
    index = GroupIndex(["b", "a", "b", "c", "a"], 5)
    rows, offsets = index.rows([2, 0])
    assert rows.tolist() == [3, 1, 4] and offsets.tolist() == [0, 1, 3]
    rows, offsets = index.rows(np.array([], dtype=int))
    assert rows.tolist() == [] and offsets.tolist() == [0]
    assert index.first(np.array(list("vwxyz"))).tolist() == ["w", "v", "y"]
    tensors, tensor = on_torch(["b", "a", "b"], np.array([1.0, 2.0, 3.0]))
    assert tensors.first(tensor).tolist() == [2.0, 1.0]
    assert tensors.expand(tensors.first(tensor)).tolist() == [1.0, 2.0, 1.0]
    assert len(index) == 3 and not index.is_singletons
    assert GroupIndex([3, 1], 2).is_singletons


@pytest.mark.parametrize(
    "values",
    [
        np.array([0.3, 0.1 + 0.2 - 1e-17, 5.0]),
        np.array([1, 1, 2]),
        np.array(["x", "x", "y"]),
        np.array([True, True, False]),
        np.array(["x", "x", 2], dtype=object),
        np.array([1e300, 1e300, -1e300]),
    ],
)
def test_a_value_shared_by_each_group_is_the_first(values):
    shared = GroupIndex(["b", "b", "a"], 3).constant(values)
    assert shared.tolist() == [values[2], values[0]] and shared.dtype == values.dtype


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([0.5, 0.25, 1.0], "0.5 and 0.25"),
        ([1, 2, 3], "1 and 2"),
        (["no", "yes", "no"], "no and yes"),
        ([-1e308, 1e308, 0.0], "-1e.308 and 1e.308"),
        ([1.0, np.nan, 0.0], "1.0 and nan"),
    ],
)
def test_a_value_that_varies_is_named_with_its_bag(values, words):
    index = GroupIndex(["b", "b", "a"], 3)
    message = rf"target must be .* bag b has {words}.*aggregate_targets\(target, bags"
    with pytest.raises(ValueError, match=message):
        index.constant(np.array(values), "target")


@pytest.mark.parametrize("n_columns", [None, 7])
def test_the_number_of_threads_changes_no_bit(monkeypatch, n_columns):
    rng = np.random.default_rng(0)
    values = rng.normal(size=5000 if n_columns is None else (5000, n_columns))
    ids = np.where(rng.random(5000) < 0.3, 7, rng.integers(500, size=5000))
    index, weight = GroupIndex(ids, 5000), rng.random(5000)
    monkeypatch.setattr(groups, "CHUNK_NUMBERS", 1000)
    results = []
    for n_threads in (1, 2, 4):
        monkeypatch.setattr(groups, "effective_n_threads", lambda *_, n=n_threads: n)
        results.append((index.sum(values, weight), index.max(values), index.argmax(values)))  # fmt: skip
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            np.testing.assert_array_equal(one, other)
    expected = np.zeros((len(index), *values.shape[1:]))
    np.add.at(expected, index.codes, (values.T * weight).T)
    np.testing.assert_allclose(results[0][0], expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("ids", [np.arange(200_000), np.zeros(200_000), [5.5]])
def test_singletons_one_bag_and_one_row(ids):
    values = np.random.default_rng(0).normal(size=len(ids)).astype(np.float32)
    values.flags.writeable = False
    index = GroupIndex(ids, len(ids))
    expected = [values.mean(dtype=float)] if len(index) == 1 else values
    np.testing.assert_allclose(index.mean(values), expected, rtol=1e-6)
    expected = [values.max()] if len(index) == 1 else values
    np.testing.assert_array_equal(index.max(values), expected)


@given(st.lists(st.one_of(st.integers(-5, 5), st.integers(-(2**60), 2**60))))
def test_the_index_sorts_the_rows_stably(ids):
    index = GroupIndex(ids, len(ids))
    ids = np.array(ids, dtype=int)
    np.testing.assert_array_equal(index.order, np.argsort(ids, kind="stable"))
    np.testing.assert_array_equal(index.ids[index.codes], ids)
    for group, size in enumerate(index.sizes):
        rows = index.order[index.offsets[group] : index.offsets[group + 1]]
        np.testing.assert_array_equal(rows, np.flatnonzero(ids == index.ids[group]))
        assert len(rows) == size


def test_ids_of_any_kind_give_the_same_index():
    pd = pytest.importorskip("pandas")
    words = ["b", "a", "b", "c"]
    days = np.array(["2021", "2020", "2021", "2022"], dtype="M8[D]")
    kinds = [words, np.array(words, dtype=object), pd.Series(words, index=list("zyxw")),
             pd.Series(words, dtype="category"), pd.DataFrame({"bag": words}), days,
             np.array([7, -2, 7, 9], dtype=np.int8)[::-1][::-1], [0.5, 0.1, 0.5, 0.7],
             [True, False, True, 2]]  # fmt: skip
    for ids in kinds:
        index = GroupIndex(ids, 4)
        assert index.codes.tolist() == [1, 0, 1, 2], ids
        assert index.order.tolist() == [1, 0, 2, 3]


def test_no_ids_make_a_group_of_each_row():
    index = GroupIndex(None, 4)
    values = np.arange(8.0).reshape(4, 2)
    for array in (index.ids, index.codes, index.order):
        assert array.tolist() == [0, 1, 2, 3]
    for name in REDUCTIONS:
        np.testing.assert_array_equal(getattr(index, name)(values), values)
    again = pickle.loads(pickle.dumps(index))
    np.testing.assert_array_equal(again.offsets, index.offsets)


@pytest.mark.parametrize(
    "ids",
    [["a", None], ["a", np.nan], [1, None], [1.0, np.nan], np.array(["2020", "NaT"], "M8[D]")],
)  # fmt: skip
def test_missing_ids_are_named(ids):
    with pytest.raises(ValueError, match=r"bags must have .* that of row 1 is missing"):
        GroupIndex(ids, 2, name="bags")


def test_ids_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="bags has 2 ids but X has 3 rows"):
        GroupIndex([1, 2], 3)
    with pytest.raises(ValueError, match=r"one dimension, got shape \(3, 2\)"):
        GroupIndex(np.ones((3, 2)), 3)
    with pytest.raises(TypeError, match="can be sorted, got int, str"):
        GroupIndex(["a", 1, "b"], 3)
    index = GroupIndex(None, 3)
    for values in (np.ones(2), np.ones((3, 1, 1)), 1.0):
        with pytest.raises(ValueError, match=r"values must have shape \(3,\) or"):
            index.sum(values)
    with pytest.raises(ValueError, match=r"values must have shape \(3,\) or"):
        index.sum(np.ones(3), np.ones(2))
    with pytest.raises(ValueError, match=r"groups must be finite; row 1 is not"):
        GroupIndex([1.0, np.inf, 2.0], 3, "groups")


def test_nan_counts_as_the_largest():
    values = np.array([[1.0, np.nan], [np.nan, 2.0], [3.0, -np.inf]])
    index = GroupIndex([0, 0, 1], 3)
    expected = [[np.nan, np.nan], [3.0, -np.inf]]
    np.testing.assert_array_equal(index.max(values), expected)
    np.testing.assert_array_equal(index.max(values[:, 1]), np.array(expected)[:, 1])
    assert index.argmax(values).tolist() == [[1, 0], [2, 2]]
    tensors, tensor = on_torch([0, 0, 1], values)
    np.testing.assert_array_equal(tensors.max(tensor), expected)
    assert tensors.argmax(tensor).tolist() == [[1, 0], [2, 2]]


def test_float32_is_added_in_float64():
    values = np.full(2**17, 0.1, dtype=np.float32)
    total = GroupIndex(np.zeros(2**17, int), 2**17).sum(values)
    assert total.dtype == np.float32
    assert total[0] == np.float32(2**17 * np.float64(np.float32(0.1)))


@pytest.mark.parametrize("name", [*REDUCTIONS, "centred"])
def test_gradients_flow_to_the_rows(torch, name):
    values, ids = table(0)
    index, rows = on_torch(ids, values)
    rows.requires_grad_()
    assert torch.autograd.gradcheck(getattr(index, name), rows)


def test_the_gradient_of_a_tie_goes_to_the_first_row(torch):
    rows = torch.tensor([1.0, 3.0, 3.0, 2.0], requires_grad=True)
    GroupIndex([0, 0, 0, 1], 4).to("cpu").max(rows).sum().backward()
    assert rows.grad.tolist() == [0.0, 1.0, 0.0, 1.0]


def test_integers_are_averaged_in_float64(torch):
    index, values = GroupIndex([5, 5, 5], 3), np.array([1, 2, 2**40])
    assert index.mean(values)[0] == (3 + 2**40) / 3
    assert index.to("cpu").mean(torch.from_numpy(values))[0] == (3 + 2**40) / 3


def test_half_precision_is_added_in_single(torch):
    values = torch.full((5000, 2), 30.0, dtype=torch.float16)
    index = GroupIndex(np.arange(5000) % 2, 5000).to("cpu")
    assert index.mean(values).tolist() == [[30.0, 30.0]] * 2
    assert index.sum(values).dtype == torch.float16


@given(
    arrays(
        st.sampled_from([np.int8, np.int64, np.uint8, np.bool_, np.float64]),
        st.integers(0, 20),
        elements={"min_value": 0, "max_value": 1},
    ),
    st.integers(1, 100),
    st.integers(-28, 27),
)
def test_labels_are_coded_as_numpy_does(y, step, start):
    if y.dtype.kind == "i":
        y = y * y.dtype.type(step) + y.dtype.type(start)
    expected = np.unique(y, return_inverse=True)
    for one, two in zip(unique_codes(y), expected, strict=True):
        np.testing.assert_array_equal(one, two, strict=True)
