import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from sklearn.linear_model import Ridge

from minimalml.testing import (
    check_row_permutation,
    classification_data,
    feature_matrices,
    regression_data,
)

FIND = settings(
    max_examples=2000,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
# What shows each corner in a matrix of at least 3 rows.
SIGNS = {
    "constant_column": lambda X: np.all(X[:, -1] == X[0, -1]),
    "duplicated_column": lambda X: np.array_equal(X[:, 0], X[:, -1]),
    "ties": lambda X: set(np.unique(X)) <= {-1.0, 0.0, 1.0},
    "huge_scale": lambda X: np.abs(X).max() >= 1e9,
    "tiny_scale": lambda X: 0 < np.abs(X[:, 0]).max() < 1e-6,
    "one_row": lambda X: X.shape[0] == 1,
    "read_only": lambda X: not X.flags.writeable,
    "fortran": lambda X: X.flags.f_contiguous and not X.flags.c_contiguous,
    "strided": lambda X: not X.flags.forc and X.strides[0] > 0,
    "reversed": lambda X: X.strides[0] < 0,
    "data_frame": lambda X: isinstance(X, pd.DataFrame),
}


@pytest.mark.parametrize("corner", SIGNS)
def test_each_corner_occurs_when_asked_for(corner):
    drawn = feature_matrices(n_samples=(3, 8), n_features=(2, 4), corners=[corner])
    find(drawn, SIGNS[corner], settings=FIND)


@given(feature_matrices(n_samples=(3, 8), n_features=(2, 4), corners=[]))
def test_no_corner_occurs_unasked(X):
    assert [name for name, shows in SIGNS.items() if shows(X)] == []
    assert X.flags.c_contiguous and X.flags.writeable


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("strategy", [regression_data, classification_data])
def test_both_precisions_occur_unasked(strategy, dtype):
    drawn = strategy(n_samples=(2, 3), n_features=1, corners=[])
    find(drawn, lambda data: data[0].dtype == dtype, settings=FIND)


@given(
    feature_matrices(n_samples=(2, 5), n_features=3, dtypes=[np.float32, np.float64])
)
def test_ranges_and_dtypes_are_kept(X):
    assert X.shape[1] == 3 and (2 <= X.shape[0] <= 5 or X.shape[0] == 1)
    assert np.asarray(X).dtype in (np.float32, np.float64)
    assert np.isfinite(np.asarray(X)).all()


@given(regression_data())
def test_a_target_has_the_layout_of_its_matrix(data):
    X, y = data
    assert len(X) == len(y)
    if isinstance(X, pd.DataFrame):
        assert X.index.equals(y.index)
        assert all(isinstance(name, str) for name in X.columns)
    else:
        assert X.flags.writeable == y.flags.writeable


@given(classification_data(n_classes=3, n_samples=(3, 6), labels=["sparse_int"]))
def test_each_class_is_present(data):
    X, y = data
    assert set(np.unique(y)) == {-3, 4, 11} and len(X) == len(y)


@pytest.mark.slow  # hypothesis gives up shrinking after a time: not for traced runs
def test_examples_shrink_to_small_whole_numbers_without_corners():
    X, y = find(
        regression_data(n_samples=(1, 30), n_features=(1, 5)),
        lambda data: len(data[0]) >= 3 and np.asarray(data[1])[1] > 0.5,
        settings=settings(FIND, phases=[Phase.generate, Phase.shrink]),
    )
    assert isinstance(X, np.ndarray) and X.flags.c_contiguous and X.flags.writeable
    assert X.shape == (3, 1) and set(np.abs(X[:, 0])) <= set(range(10))
    np.testing.assert_array_equal(y, [0.0, 1.0, 0.0])


@pytest.mark.parametrize(
    ("strategy", "options", "message"),
    [
        (feature_matrices, {"n_samples": 0}, "n_samples must be .* from 1 .* got 0"),
        (feature_matrices, {"n_features": (3, 2)}, r"n_features .* got \(3, 2\)"),
        (feature_matrices, {"corners": ["odd"]}, r"corners must .*, got \['odd'\]"),
        (feature_matrices, {"corners": "ties"}, "corners must be 'all' or among"),
        (feature_matrices, {"dtypes": [int]}, r"dtypes must be .*, got \['int64'\]"),
        (classification_data, {"corners": ["one_row"]}, "corners must be 'all' or"),
        (classification_data, {"n_classes": 1}, "n_classes .* from 2 .* got 1"),
        (classification_data, {"n_samples": (1, 5)}, "at least n_classes=2, got 1"),
        (classification_data, {"labels": ["x"]}, r"labels must be .* got \['x'\]"),
    ],
)
def test_bad_choices_are_named(strategy, options, message):
    with pytest.raises(ValueError, match=message):
        strategy(**options)


def test_without_hypothesis_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    monkeypatch.setitem(sys.modules, "hypothesis.extra.numpy", None)
    command = r"pip install 'minimalml\[test\]'"
    for strategy in (feature_matrices, regression_data, classification_data):
        with pytest.raises(ImportError, match=f"{strategy.__name__} needs .*{command}"):
            strategy()
    check_row_permutation(Ridge(), examples=0)
    with pytest.raises(ImportError, match=command):
        check_row_permutation(Ridge())


def test_importing_the_room_imports_nothing_optional():
    heavy = {"hypothesis", "pytest", "torch", "pandas", "matplotlib", "dask"}
    code = (  # scikit-learn itself imports pandas where there is one
        "import sys, sklearn; before = set(sys.modules); import minimalml.testing; "
        f"print(sorted({heavy!r} & set(sys.modules) - before))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stderr
