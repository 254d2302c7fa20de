"""GlobalMagnitudePruner on every kind of model, its training and its refusals."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import BaggingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    Ridge,
    RidgeCV,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from minimalml._core.models.weights import model_weights
from minimalml.compression import (
    GlobalMagnitudePruner,
    apply_masks,
    global_magnitude_mask,
    layerwise_magnitude_mask,
    pruning_schedule,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, y = make_classification(
    150, 12, n_informative=8, n_classes=3, random_state=0, shuffle=True
)
X_REGRESSION, TARGETS = make_regression(150, 12, n_targets=3, random_state=0)
OPTIMUM_TOLERANCE = 1e-3  # two solvers stop at gradients of 1e-4 and 1e-6

CV_MODEL = LogisticRegressionCV(
    Cs=[1.0], l1_ratios=(0,), use_legacy_attributes=False, scoring="neg_log_loss"
)
MLP = MLPClassifier((16, 8), max_iter=5, random_state=0)
TRAINABLE = [
    MLP,
    MLPClassifier(10, solver="sgd", nesterovs_momentum=False, max_iter=5,
                  batch_size=32, random_state=0),
    MLPRegressor(hidden_layer_sizes=(16,), max_iter=5, random_state=0),
    SGDClassifier(random_state=0),
    SGDClassifier(average=True, random_state=0),
    SGDRegressor(random_state=0),
]  # fmt: skip
MODELS = [
    *TRAINABLE,
    LogisticRegression(),
    LogisticRegression(C=np.inf),
    LinearRegression(),
    Ridge(),
    make_pipeline(StandardScaler(), Ridge()),
    GridSearchCV(make_pipeline(StandardScaler(), LogisticRegression()), {}, cv=2),
]


def data_for(model):
    if is_regressor(model):
        return X_REGRESSION, TARGETS[:, 0]
    return X, np.array(["a", "b", "c"])[y]


def zeros_where_masked(pruner):
    weights = model_weights(pruner)
    return all(
        not np.any(np.asarray(weights[name])[~np.asarray(mask)])
        for name, mask in pruner.masks_.items()
    )


# What it reduces to


def test_one_shot_is_the_plain_function():
    model = clone(MLP).fit(X, y)
    pruner = GlobalMagnitudePruner(model, sparsity=0.7).fit(X, y)
    masks = global_magnitude_mask(model.coefs_, 0.7)
    for pruned, expected in zip(
        pruner.estimator_.coefs_, apply_masks(model.coefs_, masks), strict=True
    ):
        np.testing.assert_array_equal(pruned, expected)
    kept = np.concatenate(
        [np.abs(w[m]) for w, m in zip(model.coefs_, masks, strict=True)]
    )
    assert pruner.threshold_ < kept.min()


def test_sparsity_zero_is_the_estimator_itself():
    pruner = GlobalMagnitudePruner(Ridge(), sparsity=0.0).fit(X, y)
    np.testing.assert_array_equal(pruner.predict(X), Ridge().fit(X, y).predict(X))
    assert pruner.threshold_ == -np.inf


def test_layer_scope_is_the_layerwise_function():
    model = clone(MLP).fit(X, y)
    pruner = GlobalMagnitudePruner(model, sparsity=0.5, scope="layer").fit(X, y)
    for mask, other in zip(
        pruner.masks_.values(), layerwise_magnitude_mask(model.coefs_, 0.5), strict=True
    ):
        np.testing.assert_array_equal(mask, other)


def test_refit_on_all_features_is_the_fit_itself():
    for model in (Ridge(), LogisticRegression(tol=1e-8, max_iter=1000)):
        pruner = GlobalMagnitudePruner(model, sparsity=0.0, fine_tune="refit_support")
        np.testing.assert_allclose(
            pruner.fit(X, y).estimator_.coef_,
            clone(model).fit(X, y).coef_,
            atol=OPTIMUM_TOLERANCE,
        )


# Invariants


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_exactly_the_asked_share_is_zero(model):
    rows, targets = data_for(model)
    pruner = GlobalMagnitudePruner(model, sparsity=0.6).fit(rows, targets)
    n = sum(mask.size for mask in pruner.masks_.values())
    assert pruner.n_nonzero_ == n - int(np.floor(0.6 * n + 1e-9))
    assert pruner.sparsity_ == pytest.approx(1 - pruner.n_nonzero_ / n)
    assert zeros_where_masked(pruner)
    assert pruner.predict(rows).shape == targets.shape
    assert np.isfinite(pruner.score(rows, targets))


def test_the_given_estimator_is_not_changed():
    inner = clone(MLP).fit(X, y)
    for given in (inner, FrozenEstimator(inner),
                  make_pipeline(StandardScaler(), FrozenEstimator(inner))):  # fmt: skip
        before = pickle.dumps(inner)
        GlobalMagnitudePruner(given, sparsity=0.9, fine_tune_epochs=1).fit(X, y)
        assert pickle.dumps(inner) == before


@pytest.mark.parametrize("scope", ["global", "layer", "random"])
def test_fits_repeat_bit_for_bit(scope):
    pruner = GlobalMagnitudePruner(
        MLP, scope=scope, schedule="linear", n_steps=2, random_state=3
    )
    first, second = (clone(pruner).fit(X, y).predict_proba(X) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_floors_keep_layers_alive():
    model = clone(MLP).fit(X, y)
    model.coefs_[1] *= 1e-6
    with pytest.warns(UserWarning, match=r"no weight of coefs_\.1.*raise min_weights"):
        pruner = GlobalMagnitudePruner(model, sparsity=0.5).fit(X, y)
    assert pruner.collapsed_layers_ == ["coefs_.1"]
    for floor in (dict(min_weights=5), dict(min_fraction=5.1 / 344)):
        pruner = GlobalMagnitudePruner(model, sparsity=0.5, **floor).fit(X, y)
        assert pruner.masks_["coefs_.1"].sum() == 5 and not pruner.collapsed_layers_


# Oracles


def test_refit_of_a_ridge_is_the_ridge_of_the_kept_features():
    pruner = GlobalMagnitudePruner(Ridge(), sparsity=0.5, fine_tune="refit_support")
    pruner.fit(X_REGRESSION, TARGETS)
    for output, kept in enumerate(pruner.masks_["coef_"]):
        alone = Ridge().fit(X_REGRESSION[:, kept], TARGETS[:, output])
        np.testing.assert_allclose(pruner.estimator_.coef_[output, kept], alone.coef_)
        assert pruner.estimator_.intercept_[output] == pytest.approx(alone.intercept_)


@pytest.mark.parametrize("weighted", [False, True])
def test_multinomial_refit_is_a_constrained_optimum(weighted):
    weight = np.linspace(0.1, 2, len(y)) if weighted else np.ones(len(y))
    model = LogisticRegression(C=0.7, class_weight="balanced" if weighted else None)
    pruner = GlobalMagnitudePruner(model, sparsity=0.6, fine_tune="refit_support")
    pruner.fit(X, y, sample_weight=weight)
    if weighted:
        weight = weight * (len(y) / 3 / np.bincount(y))[y]
    residual = weight[:, None] * (pruner.predict_proba(X) - np.eye(3)[y])
    slope = residual.T @ X + pruner.estimator_.coef_ / 0.7
    kept = pruner.masks_["coef_"]
    assert np.abs(slope[kept]).max() < OPTIMUM_TOLERANCE < np.abs(slope[~kept]).max()
    assert np.abs(residual.sum(axis=0)).max() < OPTIMUM_TOLERANCE
    assert zeros_where_masked(pruner)


def test_refit_of_an_empty_row_predicts_its_mean():
    targets = np.c_[1e-6 * TARGETS[:, 0], TARGETS[:, 1]]
    with pytest.warns(UserWarning, match=r"coef_\[0\]"):
        pruner = GlobalMagnitudePruner(
            LinearRegression(), sparsity=0.6, fine_tune="refit_support"
        ).fit(X_REGRESSION, targets)
    np.testing.assert_allclose(pruner.predict(X_REGRESSION)[:, 0], targets[:, 0].mean())


@pytest.mark.parametrize("kind", ["cubic", "linear", "geometric"])
def test_schedules_rise_from_the_start_to_the_end(kind):
    steps = pruning_schedule(kind, 0.9, 5, initial_sparsity=0.3)
    assert np.all(np.diff(steps) > 0) and 0.3 < steps[0] and steps[-1] == 0.9
    x = np.arange(1, 6) / 5
    expected = {
        "cubic": 0.9 - 0.6 * (1 - x) ** 3,
        "linear": 0.3 + 0.6 * x,
        "geometric": 1 - 0.7 * (0.1 / 0.7) ** x,
    }
    np.testing.assert_allclose(steps, expected[kind])


# Bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cubic", 0.9, 5, 0.95), r"in \[0, sparsity=0\.9\], got 0\.95"),
        (("steep", 0.9, 5), "a sequence or one of .* got 'steep'"),
        (("linear", 0.9, 0), "n_steps must be an int >= 1, got 0"),
        (("linear", 1.0, 3), r"sparsity must be in \[0, 1\), got 1\.0"),
    ],
)
def test_bad_schedules(arguments, message):
    with pytest.raises(ValueError, match=message):
        pruning_schedule(*arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(sparsity=1.0), "'sparsity' parameter .* in the range"),
        (dict(min_weights=-1), "'min_weights' parameter"),
        (dict(min_weights=1, min_fraction=0.1), "two ways to give one floor"),
        (dict(min_weights=30), r"sparsity can be at most 0 with"),
        (dict(schedule="steep"), "'schedule' parameter"),
        (dict(schedule=[0.9, 0.5]), "must not decrease and must end"),
        (dict(schedule=[0.5, 0.8]), "must end at sparsity=0.9"),
        (dict(n_steps=0), "'n_steps' parameter"),
        (dict(exclude="coefs_.7"), r"exclude names \['coefs_.7'\].*these are"),
        (dict(fine_tune="refit_support"), "is for LinearRegression, Ridge and Log"),
    ],
)
def test_bad_parameters(options, message):
    model = MLPClassifier((2,), max_iter=5, random_state=0)
    with pytest.raises(ValueError, match=message):
        GlobalMagnitudePruner(model, **options).fit(X, y)


@pytest.mark.parametrize(
    "model", [DecisionTreeClassifier(), KNeighborsClassifier(), SVC(kernel="rbf")]
)
def test_models_without_weights_are_refused(model):
    with pytest.raises(TypeError, match=rf"{type(model).__name__}.*supported are"):
        GlobalMagnitudePruner(model).fit(X, y)


def test_a_pipeline_with_an_unfitted_step_is_fitted_as_a_whole():
    half = make_pipeline(StandardScaler(), Ridge().fit(X, y))
    whole = GlobalMagnitudePruner(half, sparsity=0.0).fit(X, y)
    expected = clone(half).fit(X, y).predict(X)
    np.testing.assert_array_equal(whole.predict(X), expected)
    with pytest.raises(NotFittedError, match="step 'standardscaler'"):
        GlobalMagnitudePruner(half, prefit=True).fit(X, y)


@pytest.mark.parametrize("members", [None, Ridge()])
def test_ensembles_are_refused(members):
    ensemble = BaggingRegressor(members, n_estimators=2).fit(X, y)
    for model in (ensemble, clone(ensemble)):
        with pytest.raises(TypeError, match=r"BaggingRegressor is an ensemble"):
            GlobalMagnitudePruner(model).fit(X, y)


def test_excluding_everything_is_refused():
    for exclude in ("coef_", lambda name: True):
        with pytest.raises(ValueError, match=r"leaves nothing of \['coef_'\]"):
            GlobalMagnitudePruner(Ridge(), exclude=exclude).fit(X, y)


def test_prefit_needs_a_fit():
    with pytest.raises(NotFittedError):
        GlobalMagnitudePruner(Ridge(), prefit=True).fit(X, y)
    fitted = Ridge(alpha=1e6).fit(X, y)
    again = GlobalMagnitudePruner(fitted, prefit=False).fit(X, 2 * y)
    kept = GlobalMagnitudePruner(fitted, prefit="auto").fit(X, 2 * y)
    mask = kept.masks_["coef_"]
    np.testing.assert_allclose(again.estimator_.coef_[mask], 2 * fitted.coef_[mask])
    np.testing.assert_array_equal(kept.estimator_.coef_[mask], fitted.coef_[mask])


def test_nan_weights_are_named():
    model = clone(MLP).fit(X, y)
    model.coefs_[1][0, 0] = np.nan
    with pytest.raises(ValueError, match=r"weight 'coefs_\.1' contains NaN"):
        GlobalMagnitudePruner(model).fit(X, y)


@pytest.mark.parametrize("model", [RidgeCV(), CV_MODEL, SGDClassifier()])
def test_refitting_other_linear_models_is_refused(model):
    with pytest.raises(ValueError, match=rf"is for .* got {type(model).__name__}\."):
        GlobalMagnitudePruner(model, sparsity=0.5, fine_tune="refit_support").fit(X, y)


# Integration


def test_search_over_sparsity_and_the_inner_parameters():
    search = GridSearchCV(
        make_pipeline(StandardScaler(), GlobalMagnitudePruner(Ridge())),
        {
            "globalmagnitudepruner__sparsity": [0.2, 0.5],
            "globalmagnitudepruner__estimator__alpha": [0.1, 10.0],
        },
        cv=3,
    ).fit(X_REGRESSION, TARGETS[:, 0])
    assert len(search.cv_results_["params"]) == 4
    assert search.best_params_["globalmagnitudepruner__sparsity"] == 0.2


def test_excluded_layers_stay_dense():
    for exclude in ("coefs_.2", ["coefs_.2"], lambda name: name.endswith("2")):
        pruner = GlobalMagnitudePruner(MLP, exclude=exclude).fit(X, y)
        assert list(pruner.masks_) == ["coefs_.0", "coefs_.1"]
        assert np.all(pruner.estimator_.coefs_[2])


def test_tags_and_methods_are_those_of_the_estimator():
    assert is_classifier(GlobalMagnitudePruner(MLP))
    assert is_regressor(GlobalMagnitudePruner(Ridge()))
    assert not hasattr(GlobalMagnitudePruner(Ridge()), "predict_proba")
    assert not hasattr(GlobalMagnitudePruner(SGDClassifier()).fit(X, y), "transform")
    pruner = GlobalMagnitudePruner(LogisticRegression(), sparsity=0.5).fit(X, y)
    np.testing.assert_array_equal(pruner.classes_, [0, 1, 2])
    assert pruner.decision_function(X).shape == (150, 3)
    np.testing.assert_allclose(
        np.exp(pruner.predict_log_proba(X)), pruner.predict_proba(X)
    )


def test_data_frames_and_float32():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=[f"feature {i}" for i in range(12)])
    pruner = GlobalMagnitudePruner(MLP, sparsity=0.5, fine_tune_epochs=1)
    pruner.fit(frame, y)
    assert list(pruner.feature_names_in_) == list(frame.columns)
    assert pruner.n_features_in_ == 12
    pruner.fit(X.astype(np.float32), y)
    assert pruner.estimator_.coefs_[0].dtype == np.float32


def test_copies_and_pickles_predict_alike():
    pruner = GlobalMagnitudePruner(MLP, sparsity=0.5, random_state=0).fit(X, y)
    for other in (pickle.loads(pickle.dumps(pruner)), copy.deepcopy(pruner)):
        np.testing.assert_array_equal(other.predict(X), pruner.predict(X))
    assert not hasattr(clone(pruner), "masks_")


def test_verbose_prints_a_line_at_each_event(capsys):
    GlobalMagnitudePruner(MLP, schedule="linear", n_steps=3, verbose=1).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3  # 309 of 344 weights at the last
    assert lines[2].startswith("[GlobalMagnitudePruner] sparsity 0.8983  loss ")


def test_rows_of_zeros_are_named_and_not_said_to_need_a_floor():
    model = LinearRegression().fit(
        X_REGRESSION, np.c_[TARGETS[:, 0], 1e-6 * TARGETS[:, 1]]
    )
    message = r"no weight of coef_\[1\], whose outputs are constant now: lower sparsity"
    with pytest.warns(UserWarning, match=message):
        pruner = GlobalMagnitudePruner(model, sparsity=0.6).fit(None)
    assert pruner.collapsed_layers_ == ["coef_[1]"]


def test_callbacks_see_every_event():
    class Recorder:
        def __init__(self):
            self.events = []

        def setup(self, *arguments, **options):
            pass

        def on_fit_task_begin(self, *arguments, **options):
            pass

        def on_fit_task_end(self, estimator, context, **options):
            self.events.append(context.task_name)

        teardown = setup

    recorder = Recorder()
    pruner = GlobalMagnitudePruner(MLP, schedule="linear", n_steps=3)
    pruner.set_callbacks(recorder).fit(X, y)
    assert recorder.events.count("pruning event") == 3
