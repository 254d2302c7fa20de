import numpy as np
import pytest

from minimalml.FAMILY import STEM_means
from minimalml.FAMILY._STEM import _column_sums

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_are_those_of_numpy(rng, dtype):
    X, sums = rng.normal(size=(50, 3)).astype(dtype), np.ones(3)
    X.flags.writeable = False
    _column_sums.add_column_sums(X, sums)
    np.testing.assert_allclose(sums, 1 + X.sum(axis=0, dtype=float), rtol=1e-12)


def test_both_halves_agree(rng):
    torch = pytest.importorskip("torch")
    from minimalml.FAMILY._STEM import _column_sums_torch

    X = rng.normal(size=(50, 3))
    sums, torch_sums = np.zeros(3), torch.zeros(3, dtype=torch.float64)
    _column_sums.add_column_sums(X, sums)
    _column_sums_torch.add_column_sums(torch.from_numpy(X), torch_sums)
    np.testing.assert_allclose(torch_sums, sums, rtol=1e-12)


def test_chunks_add_up_to_the_whole(rng):
    X = rng.normal(size=(300_001, 2))
    np.testing.assert_allclose(STEM_means(X), X.mean(axis=0), rtol=0, atol=1e-12)
