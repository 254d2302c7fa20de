"""Targets beside their definitions, students beside direct minimisers, and every refusal."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joblib import parallel_config
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from minimalml.ensemble import (
    EnsembleDistillationClassifier,
    EnsembleDistillationRegressor,
    compress_targets,
    distillation_loss,
    expand_targets,
    soft_targets,
)

seeds = st.integers(0, 10**6)
TREE = DecisionTreeClassifier(max_depth=3, random_state=0)
PAIRS = [("tree", TREE), ("bayes", GaussianNB())]
FLOAT32_TOLERANCE = 1e-6


def draw(seed, n=9, n_classes=4, n_teachers=3):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(n_classes, 0.5), size=(n_teachers, n))


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(X), y


# --- targets, loss and compression ---


@given(seed=seeds)
def test_targets_are_the_mean_of_teachers(seed):
    probas = draw(seed)
    P = soft_targets(probas)
    np.testing.assert_allclose(P.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(soft_targets(probas[::-1]), P, atol=1e-12)
    np.testing.assert_allclose(soft_targets([probas[0]] * 5), probas[0], atol=1e-12)
    np.testing.assert_allclose(soft_targets(probas[..., ::-1]), P[:, ::-1], atol=1e-12)
    repeated = soft_targets(probas[[0, 0, 1, 2, 2, 2]])
    weighted = soft_targets(list(probas), weights=[2, 1, 3])
    np.testing.assert_allclose(weighted, repeated, atol=1e-12)


@given(seed=seeds)
def test_loss_is_least_where_the_student_is_its_target(seed):
    rng = np.random.default_rng(seed)
    P, logits = draw(seed)[0] + 1e-9, rng.normal(size=(9, 4))
    P /= P.sum(axis=1, keepdims=True)
    entropy = -(P * np.log(P)).sum(axis=1).mean()
    assert distillation_loss(logits, P) >= entropy
    assert distillation_loss(np.log(P), P) == pytest.approx(entropy, abs=1e-12)
    weights = rng.integers(1, 4, 9)
    rows = np.repeat(np.arange(9), weights)
    assert distillation_loss(logits, P, sample_weight=weights) == pytest.approx(
        distillation_loss(logits[rows], P[rows])
    )
    y = rng.integers(0, 4, 9)
    hard = -log_softmax(logits, axis=1)[np.arange(9), y].mean()
    assert distillation_loss(logits, np.eye(4)[y]) == pytest.approx(hard)


@given(seed=seeds, k=st.integers(1, 6), how=st.sampled_from(["smoothing", "renorm"]))
def test_compressed_targets_keep_the_largest(seed, k, how):
    P = draw(seed)[0]
    P = np.round(P, 1) if (np.round(P, 1).sum(axis=1) == 1).all() else P  # ties
    indices, values = compress_targets(P, k, how)
    expected = np.argsort(-P, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(indices, expected)
    back = expand_targets(indices, values, 4, how)
    np.testing.assert_allclose(back.sum(axis=1), 1, atol=1e-12)
    if k >= 4:
        np.testing.assert_allclose(back, P, atol=1e-12)
    kept = np.take_along_axis(P, indices, axis=1)
    if how == "renorm":
        kept = kept / kept.sum(axis=1, keepdims=True)
        assert k >= 4 or (np.sort(back, axis=1)[:, : 4 - k] == 0).all()
    np.testing.assert_allclose(np.take_along_axis(back, indices, axis=1), kept)


def test_ties_go_to_the_lower_class():
    indices, _ = compress_targets([[0.25, 0.25, 0.25, 0.25]], 2)
    assert indices.tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda P: soft_targets([]), "at least one"),
        (lambda P: soft_targets([P, P[:2]]), "arrays of one shape"),
        (lambda P: soft_targets([P], weights=[1, 1]), "weights must be one number"),
        (lambda P: soft_targets([P, P], weights=[-1, 2]), "one number of at least 0"),
        (lambda P: soft_targets([P, P], weights=[0, 0]), "one of them above"),
        (lambda P: soft_targets([2 * P]), r"probas\[0\] must be at least 0 and sum to 1"),
        (lambda P: soft_targets([P * np.nan]), "contains NaN"),
        (lambda P: distillation_loss(P, 2 * P), "targets must be at least 0 and sum to"),
        (lambda P: distillation_loss(P[:, :2], P), "targets must have the shape of"),
        (lambda P: distillation_loss(P, P[:2]), "targets has 2 rows"),
        (lambda P: compress_targets(P, 0), "k must be an integer of at least 1, got 0"),
        (lambda P: compress_targets(P, 1.5), "k must be an integer"),
        (lambda P: compress_targets(P, 1, "top"), "how must be one of"),
        (lambda P: expand_targets([[4]], [[1.0]], 4), "from 0 to n_classes - 1 = 3"),
        (lambda P: expand_targets([[0, 1]], [[1.0]], 4), "shape of values"),
        (lambda P: expand_targets([[0]], [[1.0]], 4, "top"), "how must be one of"),
    ],
)  # fmt: skip
def test_functions_refuse_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call(draw(0)[0])


# --- students of scikit-learn ---


def test_logistic_student_minimises_the_soft_cross_entropy(iris):
    X, y = iris
    P = softmax(np.random.default_rng(0).normal(size=(150, 3)) + np.eye(3)[y], axis=1)
    student = LogisticRegression(C=2.0, tol=1e-10, max_iter=10_000)
    model = EnsembleDistillationClassifier(student=student).fit_soft(X, P)

    def objective(flat):
        W, b = flat[:12].reshape(3, 4), flat[12:]
        gradient = softmax(X @ W.T + b, axis=1) - model.soft_targets_
        loss = 150 * distillation_loss(X @ W.T + b, model.soft_targets_)
        own = np.r_[(gradient.T @ X + W / 2.0).ravel(), gradient.sum(axis=0)]
        return loss + (W**2).sum() / 4.0, own

    options = dict(maxiter=10_000, ftol=1e-16, gtol=1e-10)
    best = minimize(
        objective, np.zeros(15), jac=True, method="L-BFGS-B", options=options
    )
    np.testing.assert_allclose(model.student_.coef_.ravel(), best.x[:12], atol=1e-5)


def test_sure_teachers_make_an_ordinary_fit(iris):
    X, y = iris
    student = LogisticRegression(tol=1e-8)
    soft = EnsembleDistillationClassifier(student=student).fit_soft(X, np.eye(3)[y])
    np.testing.assert_allclose(
        soft.student_.coef_, clone(student).fit(X, y).coef_, atol=1e-6
    )
    wholly = EnsembleDistillationClassifier(PAIRS, student, hard_label_weight=1.0)
    wholly.fit(X, y)
    np.testing.assert_allclose(wholly.student_.coef_, soft.student_.coef_, atol=1e-6)


def test_targets_are_out_of_fold(iris):
    X, y = iris
    model = EnsembleDistillationClassifier(PAIRS, LogisticRegression(), cv=3).fit(X, y)
    folds = StratifiedKFold(3)
    parts = [
        cross_val_predict(clone(teacher), X, y, cv=folds, method="predict_proba")
        for _, teacher in PAIRS
    ]
    np.testing.assert_allclose(model.soft_targets_, np.mean(parts, axis=0), atol=1e-6)
    inside = clone(model).set_params(cv=None).fit(X, y)
    voting = VotingClassifier(PAIRS, voting="soft").fit(X, y)
    np.testing.assert_allclose(
        inside.soft_targets_, voting.predict_proba(X), atol=FLOAT32_TOLERANCE
    )
    with parallel_config("threading", n_jobs=2):
        parallel = clone(model).fit(X, y)
    np.testing.assert_array_equal(parallel.soft_targets_, model.soft_targets_)


def test_rows_without_labels_are_labelled_by_teachers(iris):
    X, y = iris
    model = EnsembleDistillationClassifier(PAIRS, LogisticRegression(), cv=None)
    model.fit(X[::2], y[::2], X_unlabeled=X[1::2])
    assert model.soft_targets_.shape == (150, 3)
    voting = VotingClassifier(PAIRS, voting="soft").fit(X[::2], y[::2])
    np.testing.assert_allclose(
        model.soft_targets_[75:], voting.predict_proba(X[1::2]), atol=FLOAT32_TOLERANCE
    )
    joined = np.concatenate([X[::2], X[1::2]])
    direct = clone(model).fit_soft(joined, model.soft_targets_)
    np.testing.assert_array_equal(direct.student_.coef_, model.student_.coef_)


def test_classes_that_a_teacher_never_saw_get_no_mass_from_it(iris):
    X, y = iris
    names = np.array(["c", "a", "b"])[y]
    some = GaussianNB().fit(X[y > 0], names[y > 0])
    model = EnsembleDistillationClassifier([some], LogisticRegression(), prefit=True)
    model.fit(X, names)
    assert model.classes_.tolist() == ["a", "b", "c"] and model.teachers_[0] is some
    assert (model.soft_targets_[:, 2] == 0).all()
    np.testing.assert_allclose(model.soft_targets_.sum(axis=1), 1, atol=1e-6)
    assert model.predict_proba(X).shape == (150, 3)
    assert (model.predict_proba(X)[:, 2] == 0).all()
    knows_more = GaussianNB().fit(X, names)
    wide = (
        clone(model).set_params(teachers=[knows_more, some]).fit(X[y > 0], names[y > 0])
    )
    assert wide.classes_.tolist() == ["a", "b", "c"]


def test_a_regressor_as_student_is_fitted_on_the_probabilities(iris):
    X, y = iris
    student = DecisionTreeRegressor(max_depth=4, random_state=0)
    model = EnsembleDistillationClassifier(PAIRS, student).fit(X, y)
    direct = clone(student).fit(X, model.soft_targets_)
    np.testing.assert_allclose(model.predict_proba(X), direct.predict(X), atol=1e-6)
    linear = clone(model).set_params(student=LinearRegression()).fit(X, y)
    P = linear.predict_proba(10 * X)
    assert (P >= 0).all() and np.allclose(P.sum(axis=1), 1)


def test_imitation_is_measured_and_reported(iris):
    X, y = iris
    model = EnsembleDistillationClassifier(PAIRS, LogisticRegression()).fit(X, y)
    says, targets = model.predict_proba(X), model.soft_targets_.astype(float)
    safe = np.where(targets > 0, targets, 1)
    assert model.kl_ == pytest.approx(
        (targets * np.log(safe / says)).sum(axis=1).mean()
    )
    assert model.fidelity_ == np.mean(says.argmax(axis=1) == targets.argmax(axis=1))
    report = model.report(X, y)
    assert report["model"].tolist() == ["tree", "bayes", "mean of teachers", "student"]
    assert {len(column) for column in report.values()} == {4}
    assert report["accuracy"][3] == model.score(X, y)
    assert report["kl"][2] == pytest.approx(0, abs=1e-6) and report["fidelity"][2] == 1
    assert report["bytes"][2] == report["bytes"][:2].sum()
    with pytest.raises(ValueError, match="fit_soft had none"):
        clone(model).fit_soft(X, targets / targets.sum(1)[:, None]).report(X, y)


def test_few_and_single_classes(iris):
    X, y = iris
    model = EnsembleDistillationClassifier(PAIRS, LogisticRegression())
    rows = np.r_[0:20, 50:53]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X[rows], y[rows])
    with pytest.warns(
        UserWarning, match="got a class of 1: the teachers' targets are in"
    ):
        model.fit(X[:51], y[:51])
    constant = clone(model).fit(X[:9], y[:9])
    assert (constant.predict(X) == 0).all() and (constant.predict_proba(X) == 1).all()


# --- refusals ---


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(teachers=[]), ValueError, "teachers must hold at least one"),
        (dict(teachers=[*PAIRS, *PAIRS]), ValueError, "teachers: Names provided are not unique"),
        (dict(teachers=[*PAIRS, TREE]), TypeError, r"\(name, estimator\) pairs"),
        (dict(teachers=[Ridge()]), TypeError, "teacher 'ridge' .* needs predict_proba"),
        (dict(prefit=True), NotFittedError, "'tree' .* is not"),
        (dict(teacher_weights=[1]), ValueError, "teacher_weights must be one number"),
        (dict(teacher_weights=[-1, 1]), ValueError, "one number of at least 0 .* got .-1"),
        (dict(hard_label_weight=1.5), ValueError, "hard_label_weight"),
        (dict(init_student="labels"), ValueError, "init_student"),
        (dict(cv=[(np.arange(100), np.arange(50))]), ValueError, "test each row once"),
        (dict(student=KNeighborsClassifier()), TypeError, "student .* sample_weight"),
        (dict(student=TREE, discriminator="adversarial"), ValueError, "discriminator and"),
        (dict(student=TREE, augment=max), ValueError, "augment are for the network"),
    ],
)  # fmt: skip
def test_estimator_refuses_bad_parameters(iris, options, error, message):
    model = EnsembleDistillationClassifier(**dict(teachers=PAIRS) | options)
    with pytest.raises(error, match=message):
        model.fit(*iris)


def test_estimator_refuses_bad_rows(iris):
    X, y = iris
    model = EnsembleDistillationClassifier(PAIRS, TREE)
    with pytest.raises(ValueError, match="3 features"):
        model.fit(X, y, X_unlabeled=X[:, :3])
    narrow = [TREE.__class__().fit(X[:, :3], y)]
    with pytest.raises(ValueError, match="X has 4 features, but teacher"):
        EnsembleDistillationClassifier(narrow, TREE, prefit=True).fit(X, y)
    other = [GaussianNB().fit(X, y + 7)]
    with pytest.raises(ValueError, match="none of which is in y"):
        EnsembleDistillationClassifier(other, TREE, prefit=True).fit(X, y)
    neighbours = EnsembleDistillationClassifier([KNeighborsClassifier()], TREE)
    with pytest.raises(TypeError, match=r"'kneighborsclassifier'.* takes none"):
        neighbours.fit(X, y, sample_weight=np.ones(150))
    holes = np.where(X > 2, np.nan, X)
    with pytest.raises(ValueError, match="NaN, which the teacher GaussianNB"):
        model.fit(holes, y)
    with pytest.raises(ValueError, match="NaN, which the network student"):
        EnsembleDistillationClassifier([TREE]).fit(holes, y)
    assert (
        EnsembleDistillationClassifier([TREE], TREE).fit(holes, y).score(holes, y) > 0.9
    )
    for P in (2 * np.eye(3)[y], -np.eye(3)[y]):
        with pytest.raises(ValueError, match="P must be at least 0 and sum to 1"):
            model.fit_soft(X, P)
    with pytest.raises(ValueError, match=r"inconsistent .* \[150, 149\]"):
        model.fit_soft(X, np.eye(3)[y[:149]])
    with pytest.raises(ValueError, match="fit_soft has neither teachers nor labels"):
        clone(model).set_params(hard_label_weight=0.5).fit_soft(X, np.eye(3)[y])


def test_scores_without_probabilities_draw_a_warning(iris):
    X, y = iris
    for rows in (y < 3, y < 2):
        model = EnsembleDistillationClassifier([LinearSVC()], LogisticRegression())
        with pytest.warns(UserWarning, match="'linearsvc' .* is not calibrated"):
            model.fit(X[rows], y[rows])
        assert model.score(X[rows], y[rows]) > 0.85


# --- among scikit-learn's tools ---


def test_named_teachers_are_parameters_of_a_search(iris):
    X, y = iris
    model = EnsembleDistillationClassifier(PAIRS, LogisticRegression(), random_state=0)
    grid = {"ensembledistillationclassifier__tree__max_depth": [1, 4]}
    search = GridSearchCV(make_pipeline(StandardScaler(), model), grid, cv=3).fit(X, y)
    assert search.best_score_ > 0.9
    assert model.get_params()["tree__max_depth"] == 3
    model.set_params(bayes=LogisticRegression(), student__C=7.0)
    assert (
        isinstance(model.teachers[1][1], LogisticRegression) and model.student.C == 7.0
    )
    unnamed = EnsembleDistillationClassifier([RandomForestClassifier(), GaussianNB()])
    assert unnamed.set_params(cv=2).cv == 2


def test_pipelines_take_weights_through_their_last_step(iris):
    X, y = iris
    student = make_pipeline(StandardScaler(), LogisticRegression())
    teachers = [make_pipeline(StandardScaler(), GaussianNB())]
    model = EnsembleDistillationClassifier(teachers, student, cv=None)
    weights = np.where(y == 2, 1e-6, 1.0)
    model.fit(X, y, sample_weight=weights)
    direct = GaussianNB().fit(
        StandardScaler().fit_transform(X), y, sample_weight=weights
    )
    np.testing.assert_allclose(model.teachers_[0][-1].theta_, direct.theta_)
    assert set(model.predict(X)) <= {0, 1}
    scaler = make_pipeline(GaussianNB(), KNeighborsClassifier())
    with pytest.raises(TypeError, match=r"student .Pipeline. must take sample_weight"):
        model.set_params(student=scaler).fit(X, y)


def test_frames_reach_the_teachers_as_frames(iris):
    pd = pytest.importorskip("pandas")
    X, y = pd.DataFrame(iris[0], columns=list("abcd")), iris[1]
    fitted = [clone(TREE).fit(X, y), GaussianNB().fit(X, y)]
    model = EnsembleDistillationClassifier(fitted, LogisticRegression(), prefit=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, y, X_unlabeled=X[:30])
        assert model.report(X, y)["accuracy"][0] == fitted[0].score(X, y)
        model.set_params(prefit=False).fit(X, y)
    assert model.teachers_[0].feature_names_in_.tolist() == list("abcd")


def test_a_regressor_learns_the_mean_of_predictions(rng):
    X = rng.normal(size=(80, 3))
    y = 1000 + 50 * X[:, 0]
    model = EnsembleDistillationRegressor(
        [Ridge(), LinearRegression()], Ridge(), cv=None
    )
    model.fit(X, y, X_unlabeled=X[:5])
    means = [m.predict(np.r_[X, X[:5]]) for m in model.teachers_]
    np.testing.assert_allclose(model.soft_targets_, np.mean(means, axis=0))
    assert model.fidelity_ > 0.99 and model.report(X, y)["r2"][-1] > 0.99
    direct = Ridge().fit(X, y)
    model.fit_soft(X, y)
    np.testing.assert_array_equal(model.predict(X), direct.predict(X))
    with pytest.raises(TypeError, match="student must be a regressor"):
        EnsembleDistillationRegressor([Ridge()], LogisticRegression()).fit(X, y)
