"""The k largest values, ties by index."""

import numpy as np
import pytest

from minimalml._core.top_k import top_k_stable


def by_sorting(values, k, axis):
    """Sort pairs of (value, index) in plain Python."""

    def of_vector(vector):
        order = sorted(range(len(vector)), key=lambda i: (-int(vector[i]), i))
        return np.array(order[:k], dtype=int)

    return np.apply_along_axis(of_vector, axis, values)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8"])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("k", [1, 3, 6])
def test_largest_first_and_lowest_index_among_ties(rng, dtype, axis, k):
    values = rng.integers(0, 4, size=(6, 6, 6)).astype(dtype)  # most values are tied
    np.testing.assert_array_equal(
        top_k_stable(values, k, axis), by_sorting(values, k, axis)
    )


def test_a_vector_and_none_of_it():
    assert top_k_stable(np.array([1.0, -np.inf, 1.0, 2.0]), 3).tolist() == [3, 0, 2]
    assert top_k_stable(np.zeros((2, 3)), 0, axis=0).shape == (0, 3)


@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("k", [0, 1, 4, 9])
def test_tensors_give_the_same(rng, torch, axis, k):
    values = rng.integers(0, 3, size=(9, 9)).astype(float)
    found = top_k_stable(torch.from_numpy(values), k, axis)
    assert isinstance(found, torch.Tensor)
    np.testing.assert_array_equal(found, top_k_stable(values, k, axis))
