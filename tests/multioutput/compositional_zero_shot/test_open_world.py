"""Candidates in blocks: the same answers, and memory that does not grow with them."""

import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.naive_bayes import GaussianNB

from minimalml.datasets import make_compositions
from minimalml.multioutput import (
    CompositionalZeroShotClassifier,
    IndependentPrimitives,
    czsl_curve,
    make_czsl_scorer,
)
from minimalml.multioutput._compositional_zero_shot import (
    _pair_classifier as pair_classifier,
)

DATA = make_compositions(4, 5, n_features=12, n_per_pair=6, random_state=0)
FLOAT32_TOLERANCE = 1e-5  # a few hundred roundings of 6e-8


def network(**parameters):
    sizes = {"hidden_sizes": (16,), "embedding_dim": 8}
    return CompositionalZeroShotClassifier(
        **sizes, max_epochs=3, device="cpu", random_state=0, **parameters
    )


MODELS = {"independent": IndependentPrimitives, "network": network}


@pytest.fixture(params=MODELS)
def model(request):
    if request.param == "network":
        pytest.importorskip("torch")
    make = MODELS[request.param]
    return make(unseen_pairs="all", bias=0.3).fit(DATA.X_train, DATA.y_train)


def answers(model):
    """All that goes over the candidates block by block."""
    curve = model.czsl_curve(DATA.X_test, DATA.y_test, top_k=2)
    return {"predict": model.predict(DATA.X_test), **curve}


def test_blocks_do_not_matter(model, monkeypatch):
    expected = answers(model)
    monkeypatch.setattr(pair_classifier, "ROW_BLOCK", 7)
    monkeypatch.setattr(pair_classifier, "PAIR_BLOCK", 3)
    for name, value in answers(model).items():
        assert_allclose(value, expected[name], atol=FLOAT32_TOLERANCE, err_msg=name)


def test_scores_may_stay_on_the_device(monkeypatch):
    """Tensors take the way that they take on an accelerator."""
    pytest.importorskip("torch")
    from minimalml.multioutput._compositional_zero_shot import (
        _compositional_zero_shot as network_module,
    )

    model = network(unseen_pairs="all").fit(DATA.X_train, DATA.y_train)
    expected, scores = answers(model), model.decision_function(DATA.X_test)
    monkeypatch.setattr(network_module, "_as_computed", lambda tensor: tensor)
    for name, value in answers(model).items():
        assert isinstance(value, np.ndarray | float), name
        assert_allclose(value, expected[name], atol=FLOAT32_TOLERANCE, err_msg=name)
    found = model.decision_function(DATA.X_test)
    assert_allclose(found, scores, atol=FLOAT32_TOLERANCE)


def test_curve_equals_the_plain_function_over_all_scores(model):
    curve = model.czsl_curve(DATA.X_test, DATA.y_test)
    matches = (DATA.y_test[:, None] == model.pairs_).all(axis=2)
    scores = model.decision_function(DATA.X_test)
    expected = czsl_curve(scores, matches.argmax(axis=1), model.seen_mask_)
    for name, value in expected.items():
        assert_allclose(curve[name], value, atol=FLOAT32_TOLERANCE, err_msg=name)


def test_accuracies_of_primitives_are_those_of_the_answers(model):
    curve = model.czsl_curve(DATA.X_test, DATA.y_test)
    attribute = model.predict_attribute(DATA.X_test) == DATA.y_test[:, 0]
    objects = model.predict_object(DATA.X_test) == DATA.y_test[:, 1]
    assert curve.attribute_accuracy == attribute.mean()
    assert curve.object_accuracy == objects.mean()
    assert curve.object_accuracy != curve.attribute_accuracy
    scorer = make_czsl_scorer("object_accuracy")
    assert scorer(model, DATA.X_test, DATA.y_test) == curve.object_accuracy


def peak_bytes(function):
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_an_open_world_is_never_scored_as_a_whole(monkeypatch):
    monkeypatch.setattr(pair_classifier, "ROW_BLOCK", 128)
    monkeypatch.setattr(pair_classifier, "PAIR_BLOCK", 128)
    rng = np.random.default_rng(0)
    y = np.stack(np.divmod(np.arange(3600), 60), axis=1)[rng.permutation(3600)[:1000]]
    X = rng.normal(size=(1000, 4)) + y[:, :1]
    model = IndependentPrimitives(GaussianNB(), unseen_pairs="all")
    model.fit(X[:800], y[:800])
    whole = len(X) * len(model.pairs_) * X.itemsize
    assert len(model.pairs_) == 3600
    for function in (model.predict, lambda X: model.czsl_curve(X, y)):
        assert peak_bytes(lambda f=function: f(X)) < whole / 8


def test_a_curve_needs_little_beside_its_scores(rng):
    scores = rng.normal(size=(1000, 4000)).astype(np.float32)
    seen_mask = np.arange(4000) < 2000
    index = rng.integers(0, 4000, 1000)
    needed = peak_bytes(lambda: czsl_curve(scores, index, seen_mask))
    assert needed < scores.nbytes / 20


def test_rows_and_labels_must_match(model):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.czsl_curve(DATA.X_test, DATA.y_test[:5])


def test_more_answers_than_pairs_are_refused(model):
    with pytest.raises(ValueError, match=r"top_k must be in 1..20, got 21"):
        model.czsl_curve(DATA.X_test, DATA.y_test, top_k=21)
