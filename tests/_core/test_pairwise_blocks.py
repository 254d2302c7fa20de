"""Products in blocks."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn import config_context

from minimalml._core.pairwise_blocks import similarity_blocks


@pytest.mark.parametrize("make", [np.asarray, csr_array])
@pytest.mark.parametrize("memory", [1024, 0.001])
def test_blocks_are_the_whole_product(make, memory):
    X = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    Y = X[:5]
    with config_context(working_memory=memory):
        rows, blocks = zip(*similarity_blocks(make(X), Y), strict=True)
    assert (len(rows) > 1) == (memory < 1)
    assert blocks[0].dtype == np.float32
    np.testing.assert_allclose(np.vstack(blocks), X @ Y.T, rtol=1e-5, atol=1e-5)
