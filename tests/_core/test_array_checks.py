import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.exceptions import DataConversionWarning

from minimalml._core.array_checks import (
    as_tensor,
    check_rows,
    check_targets,
    check_weights,
    encode_labels,
    unique_labels,
)

X = np.arange(12.0).reshape(4, 3)
KINDS = [np.asarray, torch.as_tensor]
numpy_and_torch = pytest.mark.parametrize("kind", KINDS)


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def field_of_records(array):
    records = np.zeros(array.shape, dtype=[("flag", "i1"), ("value", array.dtype)])
    records["value"] = array
    return records["value"]


VIEWS = {
    "rows backwards": lambda X: X[::-1],
    "columns backwards": lambda X: X[:, ::-1],
    "foreign byte order": lambda X: X.astype(X.dtype.newbyteorder()),
    "read only": read_only,
    "read only, backwards": lambda X: read_only(X)[::-1],
    "strides of odd bytes": field_of_records,
    "Fortran order": np.asfortranarray,
    "every other row": lambda X: X[::2],
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_any_view_becomes_a_tensor(view, dtype):
    array = view(X.astype(dtype))
    np.testing.assert_array_equal(as_tensor(array).numpy(), array)
    assert as_tensor(array, dtype=torch.float32).dtype == torch.float32


def test_what_torch_can_share_is_shared():
    array = X.copy()
    as_tensor(array)[0, 0] = 7.0
    assert array[0, 0] == 7.0
    tensor = torch.ones(3)
    assert as_tensor(tensor) is tensor


# --- rows, targets, weights ---


@numpy_and_torch
def test_good_input_comes_back_as_it_was(kind):
    rows = kind(X.astype(np.float32))
    assert check_rows(rows) is rows
    assert check_targets(kind(X[:, 0]), rows).shape == (4,)
    assert check_targets(kind(X[:, :2]), rows).shape == (4, 2)
    assert check_weights(None, rows) is None
    weights = check_weights([1, 0, 2, 1], rows)
    assert type(weights) is type(rows) and weights.dtype == rows.dtype


@pytest.mark.parametrize("rows", [X, torch.as_tensor(X)])
@numpy_and_torch
def test_targets_and_weights_go_where_the_rows_are(rows, kind):
    for found in (
        check_targets(kind(X[:, 0]), rows),
        check_weights(kind(X[:, 1]), rows),
    ):
        assert type(found) is type(rows)


@numpy_and_torch
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(kind, bad):
    broken = X.copy()
    broken[2, 1] = bad
    with pytest.raises(ValueError, match="Input X contains"):
        check_rows(kind(broken))
    with pytest.raises(ValueError, match="Input y contains"):
        check_targets(kind(broken[:, 1]), kind(X))
    with pytest.raises(ValueError, match="sample_weight"):
        check_weights(kind(broken[:, 1]), kind(X))


def test_large_finite_numbers_are_taken():
    rows = torch.full((3, 2), 1e308, dtype=torch.float64)
    assert check_rows(rows) is rows


@numpy_and_torch
def test_wrong_lengths_and_shapes_are_refused(kind):
    rows = kind(X)
    with pytest.raises(ValueError, match="y has 3 rows but X has 4"):
        check_targets(kind(X[:3, 0]), rows)
    with pytest.raises(ValueError, match=r"sample_weight.*\(3,\)|sample_weight has 3"):
        check_weights(kind(X[:3, 1]), rows)
    with pytest.raises(ValueError, match=r"y must have shape|dim 3"):
        check_targets(kind(np.ones((4, 1, 1))), rows)
    with pytest.raises(ValueError, match=r"2D array|of shape"):
        check_rows(kind(X[0]))
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        check_weights(kind(-X[:, 1]), rows)
    with pytest.raises(ValueError, match=r"positive weight|at least one non-zero"):
        check_weights(kind(np.zeros(4)), rows)


# --- labels ---


@given(st.lists(st.integers(-3, 9), min_size=1), st.sampled_from([1, 1000]))
def test_integer_labels_are_numbered_as_by_numpy(labels, scale):
    labels = scale * np.asarray(labels)
    classes, codes = unique_labels(labels)
    expected = np.unique(labels, return_inverse=True)
    np.testing.assert_array_equal(classes, expected[0])
    np.testing.assert_array_equal(codes, expected[1])
    assert classes.dtype == labels.dtype
    tensor_classes, tensor_codes = unique_labels(torch.as_tensor(labels))
    np.testing.assert_array_equal(tensor_classes, classes)
    np.testing.assert_array_equal(tensor_codes.numpy(), codes)


def test_a_label_means_the_same_whatever_rows_are_there():
    classes = ["a", "b", "c"]
    assert encode_labels(["a", "c", "c"], classes).tolist() == [0, 2, 2]
    assert encode_labels(["c"], classes).tolist() == [2]
    assert encode_labels(["b", "a"], ["b", "c", "a"]).tolist() == [0, 2]
    tensor = encode_labels(torch.tensor([5, 3]), np.array([3, 4, 5]))
    assert tensor.tolist() == [2, 0]


@pytest.mark.parametrize("labels", [["d", "a"], ["A"], ["c", "zz"]])
def test_an_unknown_label_is_named(labels):
    with pytest.raises(ValueError, match=r"y has labels .* not among the classes"):
        encode_labels(labels, ["a", "b", "c"])


def test_one_column_of_labels_is_flat():
    with pytest.warns(DataConversionWarning, match="column-vector"):
        classes, codes = unique_labels(np.array([[1], [0], [1]]))
    assert classes.tolist() == [0, 1] and codes.tolist() == [1, 0, 1]
    assert unique_labels(torch.tensor([[1], [0]]))[1].tolist() == [1, 0]
    with pytest.raises(
        ValueError, match=r"y must be one-dimensional, got shape \(1, 2\)"
    ):
        unique_labels(torch.tensor([[1, 0]]))


def test_numbers_are_no_labels():
    with pytest.raises(ValueError, match="Unknown label type"):
        unique_labels(np.array([0.5, 1.2]))
