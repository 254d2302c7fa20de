"""Any classifier that learns by batches, on what a selector keeps of each."""

import pickle
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import load_digits, make_multilabel_classification
from sklearn.linear_model import Perceptron, SGDClassifier, SGDRegressor
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from minimalml.resampling import OnlineBatchClassifier, UtilityDiversitySelector
from minimalml.resampling._utility_diversity._logits import logits_of

SGD = SGDClassifier(loss="log_loss", random_state=0)


class Recorder(BaseEstimator):
    """Keeps the first samples of a batch, named backwards, and the logits it saw."""

    def __init__(self, n_kept=2):
        self.n_kept = n_kept

    def select(self, logits):
        self.seen_ = [*getattr(self, "seen_", []), logits]
        return SimpleNamespace(indices=np.arange(len(logits))[: self.n_kept][::-1])


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:400] / 16, y[:400]


@pytest.fixture(scope="module")
def labels():
    return make_multilabel_classification(
        300, n_features=8, n_classes=5, random_state=0
    )


MODELS = {
    "one decision": (SGD, lambda y: y > 4),
    "decisions": (SGD, lambda y: y),
    "probabilities": (GaussianNB(var_smoothing=0.1), lambda y: y.astype(str)),
    "outputs": (
        MultiOutputClassifier(SGD),
        lambda y: np.stack([y, y > 4, y % 3], axis=1),
    ),
    "labels": (
        MLPClassifier((8,), random_state=0),
        lambda y: np.stack([y > 4, y % 2, y % 3 == 0], axis=1).astype(int),
    ),
}


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_keeping_all_is_plain_partial_fit(digits, name, shuffle):
    (estimator, make_labels), (X, y) = MODELS[name], digits
    y = make_labels(y)
    options = dict(batch_size=64, max_epochs=2, shuffle=shuffle, random_state=1)
    model = OnlineBatchClassifier(estimator, UtilityDiversitySelector(1.0), **options)
    model.fit(X, y)
    plain, rng = clone(estimator), np.random.RandomState(1)
    classes = [np.unique(c) for c in y.T] if name == "outputs" else np.unique(y)
    classes = np.arange(3) if name == "labels" else classes
    for _ in range(2):
        order = rng.permutation(400) if shuffle else np.arange(400)
        for start in range(0, 400, 64):
            rows = order[start : start + 64]
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Got `batch_size`")
                plain.partial_fit(X[rows], y[rows], classes=classes)
    np.testing.assert_equal(model.predict_proba(X), plain.predict_proba(X))
    assert (model.sample_counts_ == 2).all() and model.n_samples_used_ == 800
    for ours, theirs in zip(model.classes_, classes, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_is_kept_is_trained_on_in_the_order_of_the_batch(digits):
    X, y = digits[0][:22], digits[1][:22]
    model = OnlineBatchClassifier(SGD, Recorder(), batch_size=8, shuffle=False)
    model.fit(X, y)
    used = [*range(8), 8, 9, 16, 17]  # the first batch whole
    assert np.flatnonzero(model.sample_counts_).tolist() == used
    assert [logits.shape for logits in model.selector_.seen_] == [(8, 10), (6, 10)]
    classes, plain = np.unique(y), clone(SGD)
    for rows in ([*range(8)], [8, 9], [16, 17]):
        plain.partial_fit(X[rows], y[rows], classes=classes)
    np.testing.assert_array_equal(model.estimator_.coef_, plain.coef_)
    by_hand = OnlineBatchClassifier(SGD, Recorder())
    for start in (0, 8, 16):
        rows = slice(start, start + 8)
        by_hand.partial_fit(X[rows], y[rows], classes=None if start else classes)
        by_hand = pickle.loads(pickle.dumps(by_hand))
    np.testing.assert_array_equal(by_hand.estimator_.coef_, plain.coef_)
    assert by_hand.sample_counts_.tolist() == [1, 1, 0, 0, 0, 0]
    assert by_hand.n_samples_used_ == 12


def test_a_fraction_is_rounded_up_in_the_last_batch_too(digits):
    X, y = digits
    model = OnlineBatchClassifier(SGD, batch_size=30, random_state=0)
    first = model.fit(X[:69], y[:69])
    assert first.n_samples_used_ == 30 + 8 + 3
    assert first.selector_.n_seen_ == 39
    again = clone(model).fit(X[:69], y[:69])  # the default selector has the seed too
    np.testing.assert_array_equal(first.estimator_.coef_, again.estimator_.coef_)
    np.testing.assert_array_equal(first.selector_.buffer_, again.selector_.buffer_)


@pytest.mark.parametrize("name", MODELS)
def test_logits_are_those_of_the_answers(digits, name):
    (estimator, make_labels), (X, y) = MODELS[name], digits
    y = make_labels(y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = clone(estimator).fit(X, y)
    logits = logits_of(model, X, is_multilabel=y.ndim == 2)
    if name == "one decision":
        decision = model.decision_function(X)
        np.testing.assert_allclose(np.diff(logits)[:, 0], decision)
        norms = np.linalg.norm(logits, axis=1)
        np.testing.assert_allclose(norms, abs(decision) / np.sqrt(2))
    elif name == "decisions":
        np.testing.assert_array_equal(logits, model.decision_function(X))
    else:
        probabilities = model.predict_proba(X)
        if name == "probabilities":
            logits, probabilities = logits[:, None], [probabilities]
        elif name == "labels":
            probabilities = [np.stack([1 - p, p], axis=1) for p in probabilities.T]
        np.testing.assert_allclose(logits.sum(-1), 0, atol=1e-9)
        for position, expected in enumerate(probabilities):
            n_classes = expected.shape[1]
            known = np.exp(logits[:, position, :n_classes])
            known /= known.sum(axis=1, keepdims=True)
            np.testing.assert_allclose(known, expected, atol=1e-10)
            assert not logits[:, position, n_classes:].any()


def test_certain_probabilities_stay_finite():
    certain = SimpleNamespace(predict_proba=lambda X: np.array([[1.0, 0.0]]))
    for is_multilabel in (False, True):
        assert np.isfinite(logits_of(certain, None, is_multilabel)).all()
    column = SimpleNamespace(decision_function=lambda X: np.array([[3.0]]))
    assert logits_of(column, None).tolist() == [[-1.5, 1.5]]


def test_weights_are_cut_to_what_is_kept(digits):
    X, y = digits[0][:20], digits[1][:20] % 2
    weight, plain = np.linspace(0, 2, 20), clone(SGD)
    model = OnlineBatchClassifier(SGD, Recorder(3), batch_size=10, shuffle=False)
    model.fit(X, y, sample_weight=weight)
    for rows in ([*range(10)], [10, 11, 12]):
        plain.partial_fit(X[rows], y[rows], [0, 1], sample_weight=weight[rows])
    np.testing.assert_array_equal(model.estimator_.coef_, plain.coef_)
    takes_none = OnlineBatchClassifier(Perceptronlike())
    with pytest.raises(
        ValueError, match=r"Perceptronlike.partial_fit takes no sample_w"
    ):
        takes_none.fit(X, y, sample_weight=weight)


class Perceptronlike(Perceptron):
    def partial_fit(self, X, y, classes=None):
        return super().partial_fit(X, y, classes)


def test_kinds_of_input(digits, labels):
    X, y = digits
    frame, target = pd.DataFrame(X).add_prefix("pixel "), pd.Series(y, name="digit")
    model = OnlineBatchClassifier(MultinomialNB(), random_state=0)
    expected = clone(model).fit(X, y).predict(X)
    on_frame = clone(model).fit(frame.set_index(frame.index + 7), target)
    np.testing.assert_array_equal(on_frame.predict(frame), expected)
    assert on_frame.feature_names_in_.tolist() == frame.columns.tolist()
    for same in (X.tolist(), X[:, ::-1][:, ::-1], sparse.coo_array(X)):
        np.testing.assert_array_equal(clone(model).fit(same, y).predict(X), expected)
    X, y = labels
    several = OnlineBatchClassifier(MODELS["labels"][0], random_state=0)
    dense, narrow = several.fit(X, y).predict(X), sparse.csr_array(y)
    np.testing.assert_array_equal(several.fit(X, narrow).predict(X), dense)
    assert several.selector_.buffer_.shape[1] == 10  # five positions of two
    one = OnlineBatchClassifier(MultiOutputClassifier(SGD)).fit(X, y[:, :1])
    assert one.predict(X).shape == (300, 1)


def test_search_in_a_pipeline_over_the_budget(labels):
    X, y = labels
    inner = OnlineBatchClassifier(
        MultiOutputClassifier(SGD), UtilityDiversitySelector(random_state=0),
        max_epochs=3, random_state=0,
    )  # fmt: skip
    model = make_pipeline(MinMaxScaler(), inner)
    name = "onlinebatchclassifier__selector__n_samples_to_select"
    search = GridSearchCV(model, {name: [0.1, 4, 1.0]}, cv=2).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    used = search.best_estimator_[-1].n_samples_used_
    assert used == {0.1: 142, 4: 148, 1.0: 900}[search.best_params_[name]]
    probabilities = cross_val_predict(inner, X, y, method="predict_proba", cv=2)
    assert len(probabilities) == 5 and probabilities[0].shape == (300, 2)


def test_a_network_of_the_library_learns_so(digits, torch):
    from tests._core.networks import TinyClassifier

    X, y = digits
    network = TinyClassifier(learning_rate=0.05, random_state=0)
    model = OnlineBatchClassifier(network, max_epochs=5, random_state=0)
    assert model.fit(X.astype(np.float32), y).score(X.astype(np.float32), y) > 0.5


def test_bad_input_is_refused(digits):
    X, y = digits
    model = OnlineBatchClassifier(SGD)
    for bad, message in [
        (dict(y=None), "requires y to be passed"),
        (dict(X=X[:0], y=y[:0]), "0 sample"),
        (dict(X=pd.DataFrame(X)[:0], y=y[:0]), "0 sample"),
        (dict(y=y[:-1]), "inconsistent numbers of samples"),
        (dict(y=y + 0.5), "Unknown label type"),
        (dict(X=np.where(X > 0, np.nan, X)), "NaN"),
        (dict(sample_weight=-np.ones(400)), "Negative"),
        (dict(sample_weight=np.ones(399)), "sample_weight"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.fit(**dict(X=X, y=y) | bad)
    for estimator, message in [
        (
            MultiOutputClassifier(Perceptron()),
            "neither decision_function nor predict_pr",
        ),
        (SGDRegressor(), "neither decision_function nor predict_proba"),
        (BaseEstimator(), "'estimator' parameter .* 'partial_fit'"),
    ]:
        with pytest.raises(ValueError, match=message):
            OnlineBatchClassifier(estimator).fit(X, y)
    for parameters in (
        dict(batch_size=0), dict(max_epochs=0), dict(shuffle=1), dict(selector=SGD),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=next(iter(parameters))):
            OnlineBatchClassifier(SGD).set_params(**parameters).fit(X, y)
    with pytest.raises(AttributeError):
        OnlineBatchClassifier(SGD).classes_  # noqa: B018
