"""Which library an array belongs to."""

import numpy as np
import pytest

from minimalml._core.arrays import array_namespace


def test_arrays_are_numpys_and_tensors_torchs():
    assert array_namespace(np.ones(2)) is np
    torch = pytest.importorskip("torch")
    assert array_namespace(torch.ones(2)) is torch
