"""The index of groups and its sums, means and maxima, beside pandas and by property."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minimalml._core.groups import (
    GroupIndex,
    group_max,
    group_mean,
    group_sum,
    unique_codes,
)

pytestmark = pytest.mark.kernel
REDUCTIONS = {"sum": group_sum, "mean": group_mean, "max": group_max}
SEEDS = st.integers(0, 2**32 - 1)
# sums of at most 50 numbers near 1, in the order of the rows
TOLERANCE = {"float32": 1e-6, "float64": 1e-13}


def table(seed, n_columns=3, dtype="float64"):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(50, n_columns)).astype(dtype)
    return values, rng.integers(-3, 9, size=50)


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_columns", [None, 1, 3, 70])
@pytest.mark.parametrize("on_torch", [False, True])
def test_reductions_are_those_of_pandas(name, dtype, n_columns, on_torch):
    pd = pytest.importorskip("pandas")
    values, ids = table(0, n_columns or 1, dtype)
    values = values[:, 0] if n_columns is None else values
    given_values = values[::-1].copy()[::-1]
    if on_torch:
        given_values = pytest.importorskip("torch").from_numpy(values)
    found = np.asarray(REDUCTIONS[name](given_values, GroupIndex.from_ids(ids, 50)))
    expected = getattr(pd.DataFrame(values).astype(float).groupby(ids), name)()
    assert found.dtype == dtype and found.shape == (len(expected), *values.shape[1:])
    np.testing.assert_allclose(
        found.reshape(expected.shape), expected, rtol=TOLERANCE[dtype], atol=1e-6
    )


@given(SEEDS, st.sampled_from(list(REDUCTIONS)))
def test_the_order_of_rows_and_the_names_of_groups_change_nothing(seed, name):
    values, ids = table(seed)
    rows = np.random.default_rng(seed).permutation(50)
    names = np.array([f"bag {i + 3:02d}" for i in ids])
    expected = REDUCTIONS[name](values, GroupIndex.from_ids(ids, 50))
    moved = REDUCTIONS[name](values[rows], GroupIndex.from_ids(names[rows], 50))
    np.testing.assert_allclose(moved, expected, rtol=1e-12, atol=1e-14)


@given(st.lists(st.one_of(st.integers(-5, 5), st.integers(-(2**60), 2**60))))
def test_the_index_sorts_the_rows_stably(ids):
    index = GroupIndex.from_ids(ids, len(ids))
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
        index = GroupIndex.from_ids(ids, 4)
        assert index.codes.tolist() == [1, 0, 1, 2], ids
        assert index.order.tolist() == [1, 0, 2, 3]


def test_no_ids_make_a_group_of_each_row():
    index = GroupIndex.from_ids(None, 4)
    values = np.arange(8.0).reshape(4, 2)
    for array in (index.ids, index.codes, index.order):
        assert array.tolist() == [0, 1, 2, 3]
    for reduce in REDUCTIONS.values():
        np.testing.assert_array_equal(reduce(values, index), values)
    again = pickle.loads(pickle.dumps(index))
    np.testing.assert_array_equal(again.offsets, index.offsets)


@pytest.mark.parametrize(
    "ids",
    [["a", None], ["a", np.nan], [1, None], [1.0, np.nan], np.array(["2020", "NaT"], "M8[D]")],
)  # fmt: skip
def test_missing_ids_are_named(ids):
    with pytest.raises(ValueError, match=r"bags must have .* that of row 1 is missing"):
        GroupIndex.from_ids(ids, 2, name="bags")


def test_ids_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="groups has 2 ids but X has 3 rows"):
        GroupIndex.from_ids([1, 2], 3)
    with pytest.raises(ValueError, match=r"one dimension, got shape \(3, 2\)"):
        GroupIndex.from_ids(np.ones((3, 2)), 3)
    with pytest.raises(TypeError, match="can be sorted, got int, str"):
        GroupIndex.from_ids(["a", 1, "b"], 3)
    index = GroupIndex.from_ids(None, 3)
    for values in (np.ones(2), np.ones((3, 1, 1)), 1.0):
        with pytest.raises(ValueError, match=r"values must have shape \(3,\) or"):
            group_sum(values, index)


def test_nan_counts_as_the_largest(torch):
    values = np.array([[1.0, np.nan], [np.nan, 2.0], [3.0, -np.inf]])
    index = GroupIndex.from_ids([0, 0, 1], 3)
    expected = [[np.nan, np.nan], [3.0, -np.inf]]
    np.testing.assert_array_equal(group_max(values, index), expected)
    np.testing.assert_array_equal(
        group_max(values[:, 1], index), np.array(expected)[:, 1]
    )
    np.testing.assert_array_equal(group_max(torch.from_numpy(values), index), expected)


def test_float32_is_added_in_float64():
    values = np.full(2**17, 0.1, dtype=np.float32)
    total = group_sum(values, GroupIndex.from_ids(np.zeros(2**17, int), 2**17))
    assert total.dtype == np.float32
    assert total[0] == np.float32(2**17 * np.float64(np.float32(0.1)))


@pytest.mark.parametrize("reduce", REDUCTIONS.values())
def test_gradients_flow_to_the_rows(torch, reduce):
    values, ids = table(0)
    index = GroupIndex.from_ids(ids, 50).to("cpu")
    rows = torch.from_numpy(values).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: reduce(v, index), rows)


def test_integers_are_averaged_in_float64(torch):
    index = GroupIndex.from_ids([5, 5, 5], 3)
    for values in (np.array([1, 2, 2**40]), torch.tensor([1, 2, 2**40])):
        assert group_mean(values, index)[0] == (3 + 2**40) / 3


def test_half_precision_is_added_in_single(torch):
    values = torch.full((5000, 2), 30.0, dtype=torch.float16)
    index = GroupIndex.from_ids(np.arange(5000) % 2, 5000)
    assert group_mean(values, index).tolist() == [[30.0, 30.0]] * 2
    assert group_sum(values, index).dtype == torch.float16


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
