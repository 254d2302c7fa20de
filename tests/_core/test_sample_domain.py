"""Rows split into sources and targets."""

import numpy as np
import pandas as pd
import pytest

from minimalml._core.sample_domain import split_domains


def test_signs_decide_and_none_means_both():
    sources, targets = split_domains([0, -1, 2.5, -0.5], 4)
    assert sources.tolist() == [0, 2] and targets.tolist() == [1, 3]
    sources, targets = split_domains(None, 3)
    assert sources.tolist() == targets.tolist() == [0, 1, 2]


@pytest.mark.parametrize("wrap", [pd.Series, lambda d: np.array(d)[::-1][::-1],
                                  lambda d: np.array(d)[:, None],
                                  lambda d: np.array(d, dtype=object)])  # fmt: skip
def test_any_container_will_do(wrap):
    sources, targets = split_domains(wrap([1, -1, -2]), 3)
    assert sources.tolist() == [0] and targets.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        ([1, -1], r"shape \(2,\) but X has 3 rows"),
        ([1, -1, np.nan], "NaN in row 2"),
        ([1, 1, 0], r"3 source rows \(>= 0\) and 0 target rows"),
        ([-1, -1, -1], r"0 source rows \(>= 0\) and 3 target rows"),
        (["a", "b", "c"], "must hold numbers"),
    ],
)
def test_what_cannot_be_split_is_refused(domain, message):
    with pytest.raises(ValueError, match=message):
        split_domains(domain, 3)
