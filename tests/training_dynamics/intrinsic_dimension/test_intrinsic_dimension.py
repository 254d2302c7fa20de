import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from minimalml.training_dynamics import IntrinsicDimension, intrinsic_dimension_means

ROUNDING = 1e-10  # of sums of numbers up to a thousand


def test_it_reduces_to_a_known_thing(rng):
    X = rng.normal(size=(20, 3))
    expected = StandardScaler(with_std=False).fit_transform(X)
    np.testing.assert_allclose(IntrinsicDimension().fit_transform(X), expected, atol=1e-12)


@given(X=arrays(float, (7, 3), elements=st.floats(-1e3, 1e3)))
def test_order_of_rows_changes_nothing(X):
    np.testing.assert_allclose(intrinsic_dimension_means(X[::-1]), intrinsic_dimension_means(X), atol=ROUNDING)


def test_nothing_is_taken_away_at_strength_zero(rng):
    X = rng.normal(size=(5, 2))
    assert (IntrinsicDimension(strength=0).fit_transform(X) == X).all()


def test_a_strength_above_one_is_refused():
    with pytest.raises(ValueError, match="'strength' parameter of IntrinsicDimension must be"):
        IntrinsicDimension(strength=2.0).fit([[1.0], [2.0]])


def test_a_search_in_a_pipeline():
    model = make_pipeline(IntrinsicDimension(), LogisticRegression(max_iter=1000))
    grid = {"intrinsicdimension__strength": [0.0, 1.0]}
    search = GridSearchCV(model, grid, cv=3).fit(*load_iris(return_X_y=True))
    assert search.best_score_ > 0.9
