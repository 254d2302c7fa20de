import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression, Perceptron, SGDRegressor
from sklearn.naive_bayes import BernoulliNB, GaussianNB
from sklearn.neural_network import MLPClassifier

from minimalml._core.training.partial_fit import train_by_partial_fit


@pytest.fixture
def rows(rng):
    X = rng.standard_normal((50, 3))
    return X, (X[:, 0] > 0).astype(int)


class Recorder(BaseEstimator):
    """Writes down what it is trained on; its loss is the mean of y."""

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        self.calls_ = [*getattr(self, "calls_", []), (X, y, classes, sample_weight)]
        self.loss_ = float(np.mean(y))
        return self


class Weightless(Recorder):
    """Takes no weights."""

    def partial_fit(self, X, y, classes=None):
        return super().partial_fit(X, y, classes)


def test_each_epoch_visits_each_row_once(rows):
    recorder, numbers = Recorder(), np.arange(50.0)
    losses = train_by_partial_fit(
        recorder, numbers[:, None], numbers, max_epochs=2, batch_size=20,
        classes=[0, 1], sample_weight=2 * numbers, random_state=0,
    )  # fmt: skip
    X, y, classes, weights = zip(*recorder.calls_, strict=True)
    assert [len(part) for part in y] == [20, 20, 10, 20, 20, 10]
    assert classes == ([0, 1], *[None] * 5)
    for epoch in (slice(3), slice(3, 6)):
        visited = np.concatenate(y[epoch])
        np.testing.assert_array_equal(np.sort(visited), numbers)
        np.testing.assert_array_equal(np.concatenate(X[epoch])[:, 0], visited)
        np.testing.assert_array_equal(np.concatenate(weights[epoch]), 2 * visited)
    assert not np.array_equal(np.concatenate(y[:3]), np.concatenate(y[3:]))
    np.testing.assert_allclose(losses, [numbers.mean()] * 2)


def test_it_is_the_loop_that_one_would_write(rows):
    X, y = rows[0], rows[0][:, 0]
    ours, theirs = SGDRegressor(random_state=0), SGDRegressor(random_state=0)
    losses = train_by_partial_fit(
        ours, X, y, max_epochs=2, batch_size=16, random_state=3
    )
    assert losses is None
    rng = np.random.RandomState(3)
    for _ in range(2):
        order = rng.permutation(50)
        for start in range(0, 50, 16):
            batch = order[start : start + 16]
            theirs.partial_fit(X[batch], y[batch])
    np.testing.assert_array_equal(ours.coef_, theirs.coef_)


def test_a_generator_goes_on_where_it_is(rows):
    whole, parts = Perceptron(), Perceptron()
    options = {"batch_size": 10, "classes": [0, 1]}
    generators = [np.random.default_rng(1) for _ in range(2)]
    train_by_partial_fit(
        whole, *rows, max_epochs=2, random_state=generators[0], **options
    )
    for _ in range(2):
        train_by_partial_fit(
            parts, *rows, max_epochs=1, random_state=generators[1], **options
        )
    np.testing.assert_array_equal(whole.coef_, parts.coef_)


def test_something_is_done_after_each_step(rows):
    seen = []
    train_by_partial_fit(
        GaussianNB(), *rows, max_epochs=2, batch_size=25, classes=[0, 1],
        after_step=lambda model: seen.append(model.class_count_.sum()),
    )  # fmt: skip
    assert seen == [25, 50, 75, 100]


def test_a_network_keeps_its_own_settings_and_does_not_warn(rows):
    mlp = MLPClassifier((4,), batch_size=30, early_stopping=True, max_iter=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlp.fit(*rows)
    before = mlp.get_params()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        losses = train_by_partial_fit(mlp, *rows, max_epochs=4)
    assert mlp.get_params() == before
    assert len(losses) == 4 and losses[-1] < losses[0]


@pytest.mark.parametrize("kind", [sparse.csr_array, pd.DataFrame])
def test_other_tables_train_alike(rows, kind):
    X, y = rows
    X = kind(X) if kind is sparse.csr_array else kind(X, columns=["a", "b", "c"])
    models = BernoulliNB(), BernoulliNB()
    options = {"max_epochs": 1, "classes": [0, 1], "random_state": 0}
    train_by_partial_fit(models[0], X, pd.DataFrame({"y": y}), **options)
    train_by_partial_fit(models[1], *rows, **options)
    np.testing.assert_allclose(models[0].feature_log_prob_, models[1].feature_log_prob_)
    assert hasattr(models[0], "feature_names_in_") == (kind is pd.DataFrame)


@pytest.mark.parametrize(
    "model, changes, message",
    [
        (LogisticRegression(), {}, "LogisticRegression has no partial_fit"),
        (
            Weightless(),
            {"sample_weight": np.ones(50)},
            r"Weightless.partial_fit takes no sample_weight",
        ),
        (GaussianNB(), {"sample_weight": np.ones(40)}, "sample_weight"),
        (GaussianNB(), {"sample_weight": -np.ones(50)}, r"[Nn]egative"),
        (GaussianNB(), {"y": np.zeros(40)}, "inconsistent numbers of samples"),
        (GaussianNB(), {"y": np.zeros(60)}, "inconsistent numbers of samples"),
        (GaussianNB(), {"X": pd.DataFrame([[]])[:0], "y": []}, r"0 sample\(s\)"),
        (GaussianNB(), {"classes": None}, "classes must be passed"),
    ],
)
def test_what_can_not_train_is_refused(rows, model, changes, message):
    options = {"X": rows[0], "y": rows[1], "classes": [0, 1], **changes}
    with pytest.raises(ValueError, match=message):
        train_by_partial_fit(clone(model), max_epochs=1, **options)
