"""What both classifiers of pairs take and give, whatever they compute inside."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import DataConversionWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, cross_val_predict

from minimalml.datasets import make_compositions
from minimalml.multioutput import (
    CompositionalZeroShotClassifier,
    IndependentPrimitives,
    czsl_curve,
)

DATA = make_compositions(4, 5, n_features=12, n_per_pair=6, random_state=0)
X, Y = DATA.X_train, DATA.y_train
COLOURS = np.array(["blue", "green", "grey", "red"])
FLOAT64_TOLERANCE = 1e-12


def network(**parameters):
    sizes = {"hidden_sizes": (16,), "embedding_dim": 8, "max_epochs": 3}
    return CompositionalZeroShotClassifier(
        **sizes, device="cpu", random_state=0, **parameters
    )


@pytest.fixture(params=[IndependentPrimitives, network], ids=["independent", "network"])
def make(request):
    if request.param is network:
        pytest.importorskip("torch")
    return request.param


def test_classes_and_probabilities_go_by_columns(make):
    model = make(unseen_pairs=DATA.unseen_pairs, bias=0.2).fit(X, Y)
    pairs = model.predict_pair_proba(DATA.X_test)
    parts = model.predict_proba(DATA.X_test)
    assert_allclose(pairs.sum(axis=1), 1)
    for column, (classes, part) in enumerate(zip(model.classes_, parts, strict=True)):
        expected = [pairs[:, model.pairs_[:, column] == c].sum(axis=1) for c in classes]
        assert_allclose(part.T, expected, atol=FLOAT64_TOLERANCE)


def test_one_column_has_the_probabilities_of_its_classes(make):
    model = make().fit(X, Y[:, 1])
    found = model.predict_proba(X)
    assert found.shape == (len(X), 5)
    assert_array_equal(model.classes_[found.argmax(axis=1)], model.predict(X))


def test_cross_validated_probabilities_are_those_of_the_folds(make):
    y = np.column_stack([COLOURS[Y[:, 0]], Y[:, 1].astype(str)])
    folds = KFold(3, shuffle=True, random_state=0)
    found = cross_val_predict(make(), X, y, cv=folds, method="predict_proba")
    train, test = next(folds.split(X))
    model = make().fit(X[train], Y[train])
    assert [len(classes) for classes in model.classes_] == [4, 5]
    for part, expected in zip(found, model.predict_proba(X[test]), strict=True):
        assert_array_equal(part[test], expected)


def test_one_column_calibrates_and_pairs_are_refused_by_name(make):
    calibrated = CalibratedClassifierCV(make(), cv=2).fit(X, Y[:, 1])
    assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1)
    with pytest.raises(ValueError, match="y should be a 1d array"):
        CalibratedClassifierCV(make(), cv=2).fit(X, Y)


@pytest.mark.parametrize(
    "container",
    [
        lambda y: y[:, None],
        lambda y: pd.DataFrame({"thing": y}),
        lambda y: pd.DataFrame({"thing": y}, dtype="category"),
        lambda y: pd.DataFrame({"thing": pd.array(y, dtype="string")}),
    ],
)
def test_one_column_of_any_container_is_one_label(make, container):
    y = np.array(list("vwxyz"), object)[Y[:, 1]]
    expected = make().fit(X, y).predict(X)
    with pytest.warns(DataConversionWarning, match="column-vector y was passed"):
        model = make().fit(X, container(y))
    assert_array_equal(model.predict(X), expected)
    assert model.score(X, y) == np.mean(expected == y)


@pytest.mark.parametrize("missing", [pd.NA, None, np.nan, pd.NaT])
def test_a_missing_label_in_a_frame_is_refused(missing):
    y = pd.DataFrame({"colour": COLOURS[Y[:, 0]], "thing": Y[:, 1]})
    y["colour"] = y["colour"].astype(object)
    y.loc[3, "colour"] = missing
    with pytest.raises(ValueError, match="y has a missing label"):
        IndependentPrimitives().fit(X, y)


def test_columns_of_extension_types_keep_their_labels():
    y = pd.DataFrame(
        {
            "colour": pd.array(COLOURS[Y[:, 0]], dtype="string"),
            "thing": pd.array(Y[:, 1], dtype="Int64"),
        }
    )
    model = IndependentPrimitives().fit(X, y)
    assert_array_equal(model.attributes_, COLOURS)
    assert model.objects_.dtype.kind == "i"
    assert_array_equal(
        model.predict_object(X), IndependentPrimitives().fit(X, Y).predict(X)[:, 1]
    )


def test_a_frame_of_three_columns_is_refused():
    with pytest.raises(
        ValueError, match=r"y must have 2 columns .* got shape \(54, 3\)"
    ):
        IndependentPrimitives().fit(X, pd.DataFrame(X[:, :3]))


def test_frames_as_output_of_transformers_change_nothing(make):
    frame = pd.DataFrame(X, columns=[f"feature{i}" for i in range(12)])
    expected = make().fit(frame, Y).predict(frame)
    with sklearn.config_context(transform_output="pandas"):
        model = make().fit(frame, Y)
        assert_array_equal(model.predict(frame), expected)
        if hasattr(model, "transform"):
            features = model.transform(frame)
            assert list(features.columns) == list(model.get_feature_names_out())
    assert_array_equal(model.predict(frame), expected)


REVERSED, ALL = slice(None, None, -1), slice(None)


@pytest.mark.parametrize("view", [(REVERSED, ALL), (ALL, REVERSED), np.s_[::-1, ::-2]])
def test_views_of_any_stride_are_as_good_as_copies(make, view):
    rows, tested = X[view], DATA.X_test[view]
    y, y_tested = (
        (Y[::-1], DATA.y_test[::-1]) if view[0] == REVERSED else (Y, DATA.y_test)
    )
    found, expected = make().fit(rows, y), make().fit(rows.copy(), y.copy())
    assert_array_equal(found.predict(rows), expected.predict(rows.copy()))
    areas = (
        found.czsl_curve(tested, y_tested),
        expected.czsl_curve(tested.copy(), y_tested.copy()),
    )
    assert areas[0].auc == areas[1].auc
    if hasattr(found, "transform"):
        assert_array_equal(found.transform(rows), expected.transform(rows.copy()))


def test_parameters_set_after_fit_wait_for_the_next(make):
    model = make(unseen_pairs=DATA.unseen_pairs).fit(X, Y)
    expected = model.predict_pair_proba(X)
    area = model.czsl_curve(DATA.X_test, DATA.y_test).auc
    model.set_params(unseen_pairs="all", bias=5.0)
    if isinstance(model, CompositionalZeroShotClassifier):
        model.set_params(pair_scale=1.0, hidden_sizes=(4,), early_stopping=True)
    else:
        model.set_params(estimator=LogisticRegression(C=1e-3))
    assert_array_equal(model.predict_pair_proba(X), expected)
    assert model.czsl_curve(DATA.X_test, DATA.y_test).auc == area


@pytest.mark.parametrize("exponent", [-1060, -700, -300, 300, 530, 1010])
def test_the_unit_of_features_does_not_matter_to_the_baseline(exponent):
    train, test = (np.ldexp(rows, exponent) for rows in (X, DATA.X_test))
    expected = IndependentPrimitives().fit(X, Y).predict(DATA.X_test)
    assert_array_equal(IndependentPrimitives().fit(train, Y).predict(test), expected)


@pytest.mark.parametrize("exponent", [-140, -100, 60, 114])
def test_nor_does_it_in_single_precision(exponent):
    train, test = (rows.astype(np.float32) for rows in (X, DATA.X_test))
    expected = IndependentPrimitives().fit(train, Y).predict(test)
    model = IndependentPrimitives().fit(np.ldexp(train, exponent), Y)
    assert_array_equal(model.predict(np.ldexp(test, exponent)), expected)


def test_features_that_overflow_the_network_are_refused():
    pytest.importorskip("torch")
    for y in (Y, Y[:, 1]):
        for early_stopping in (False, True):
            with pytest.raises(ValueError, match=r"not finite after the first epoch: "):
                network(early_stopping=early_stopping).fit(X * 1e30, y)
    model = network().fit(X, Y)
    for predict in (model.predict, model.predict_proba, model.decision_function):
        with pytest.raises(
            ValueError, match="X has 1 rows whose scores are not finite"
        ):
            predict(np.vstack([X[:3], X[:1] * 1e200]))


def test_no_unseen_pairs_may_be_an_empty_list(make):
    model = make(unseen_pairs=[]).fit(X, Y)
    assert model.seen_mask_.all()


def test_new_labels_may_be_longer_than_those_of_training():
    pytest.importorskip("torch")
    y = np.column_stack([COLOURS[Y[:, 0]], Y[:, 1].astype(str)])
    vectors = {name: [float(i), 1.0] for i, name in enumerate([*COLOURS, "turquoise"])}
    objects = {str(i): [float(i), 1.0] for i in range(5)}
    model = network(
        unseen_pairs=[["turquoise", "0"]], label_embeddings=(vectors, objects)
    )
    with pytest.warns(UserWarning, match="'turquoise'"):
        model.fit(X, y)
    assert ["turquoise", "0"] in model.pairs_.tolist()


def test_places_of_true_pairs_must_be_integers():
    with pytest.raises(ValueError, match="pair_index must hold integers, got float64"):
        czsl_curve([[0.5, 1.0]] * 2, [0.0, 1.0], [True, False])
