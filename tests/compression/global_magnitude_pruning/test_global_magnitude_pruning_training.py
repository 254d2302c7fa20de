"""Training with masks: zeros stay, and with them whatever training keeps beside weights."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, SGDClassifier, SGDRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from minimalml._core.models.weights import model_weights
from minimalml.compression import GlobalMagnitudePruner
from minimalml.compression._global_magnitude_pruning._ranking import (
    PrunedWeights,
    Rule,
)
from tests.compression.global_magnitude_pruning.test_global_magnitude_pruning_estimator import (
    MLP,
    TRAINABLE,
    X,
    data_for,
    y,
    zeros_where_masked,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("model", TRAINABLE, ids=str)
@pytest.mark.parametrize("schedule", ["one-shot", "cubic"])
@pytest.mark.parametrize("mask_every_batch", [True, False])
def test_pruned_weights_stay_zero_in_training(model, schedule, mask_every_batch):
    rows, targets = data_for(model)
    pruner = GlobalMagnitudePruner(
        model, sparsity=0.8, schedule=schedule, n_steps=3, fine_tune_epochs=2,
        mask_every_batch=mask_every_batch, random_state=0,
    )  # fmt: skip
    before = GlobalMagnitudePruner(model, sparsity=0.8).fit(rows, targets)
    pruner.fit(rows, targets)
    assert zeros_where_masked(pruner)
    assert pruner.sparsity_ == before.sparsity_
    trained, untrained = model_weights(pruner), model_weights(before)
    assert any(np.any(trained[name] != untrained[name]) for name in trained)
    assert len(pruner.history_) == (1 if schedule == "one-shot" else 3)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_optimiser_state_is_zero_where_weights_are(solver):
    model = clone(MLP).set_params(solver=solver)
    pruner = GlobalMagnitudePruner(model, sparsity=0.8, fine_tune_epochs=2).fit(X, y)
    optimizer = pruner.estimator_._optimizer
    kinds = [optimizer.velocities] if solver == "sgd" else [optimizer.ms, optimizer.vs]
    for moments in kinds:
        for mask, moment in zip(pruner.masks_.values(), moments, strict=False):
            assert not moment[~mask].any() and moment[mask].any()


@pytest.mark.parametrize("average", [True, 10**6])
@pytest.mark.parametrize("model", [SGDClassifier(), SGDRegressor()], ids=str)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_averaged_gradient_descent_goes_on_from_zeros(model, n_classes, average):
    model = clone(model).set_params(average=average, random_state=0)
    pruner = GlobalMagnitudePruner(model, sparsity=0.7, fine_tune_epochs=2)
    pruner.fit(X, np.minimum(y, n_classes - 1))
    mask = pruner.masks_["coef_"].ravel()
    for copy in (pruner.estimator_._standard_coef, pruner.estimator_.coef_):
        assert not copy.ravel()[~mask].any() and copy.ravel()[mask].all()


@pytest.mark.parametrize(
    "model", [clone(MLP), SGDClassifier(random_state=0)], ids=["mlp", "sgd"]
)
def test_models_that_stopped_early_are_trained_further(model):
    model.set_params(early_stopping=True)
    pruner = GlobalMagnitudePruner(model, sparsity=0.8, random_state=0).fit(X, y)
    tuned = clone(pruner).set_params(fine_tune_epochs=5).fit(X, y)
    assert tuned.estimator_.early_stopping and zeros_where_masked(tuned)
    name = next(iter(tuned.masks_))
    assert np.any(model_weights(tuned)[name] != model_weights(pruner)[name])


def test_an_adaptive_learning_rate_is_not_cut_by_single_batches():
    model = clone(MLP).set_params(
        solver="sgd", learning_rate="adaptive", batch_size=10, learning_rate_init=0.01
    )
    pruner = GlobalMagnitudePruner(model, sparsity=0.5, fine_tune_epochs=5).fit(X, y)
    assert pruner.estimator_._optimizer.learning_rate == 0.01
    assert pruner.estimator_.batch_size == 10


@pytest.mark.parametrize("regrow", [False, True])
def test_pruned_weights_come_back_only_with_regrowth(regrow):
    options = dict(epochs_per_step=20, learning_rate=0.05, random_state=0)
    first = GlobalMagnitudePruner(MLP, sparsity=0.8).fit(X, y)
    second = GlobalMagnitudePruner(
        MLP, sparsity=0.8, schedule=[0.8, 0.8], regrow=regrow, **options
    ).fit(X, y)
    came_back = sum(
        np.sum(mask & ~first.masks_[name]) for name, mask in second.masks_.items()
    )
    assert (came_back > 0) == regrow
    assert zeros_where_masked(second) and second.n_nonzero_ == 344 - 275


@pytest.mark.parametrize("kind", ["array", "tensor"])
def test_regrowth_ranks_what_pruned_weights_were_with_what_training_made(kind, request):
    as_kind = np.array if kind == "array" else request.getfixturevalue("torch").tensor
    first, trained = [1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.5, 4.0]
    for regrow, expected in ((True, [0.0, 2.0, 0.0, 4.0]), (False, trained)):
        pruned, weights = PrunedWeights(Rule(), regrow), {"w": as_kind(first)}
        pruned.prune(weights, 2)
        assert weights["w"].tolist() == [0.0, 0.0, 3.0, 4.0]
        weights["w"][:] = as_kind(trained)
        pruned.prune(weights, 2)
        assert weights["w"].tolist() == expected


def test_fine_tuning_regains_accuracy():
    digits, labels = load_digits(return_X_y=True)
    model = MLPClassifier((64,), max_iter=30, random_state=0).fit(digits / 16, labels)
    pruner = GlobalMagnitudePruner(model, sparsity=0.9, random_state=0)
    alone = pruner.fit(digits / 16, labels).score(digits / 16, labels)
    tuned = pruner.set_params(fine_tune_epochs=10).fit(digits / 16, labels)
    assert tuned.score(digits / 16, labels) > alone + 0.1
    assert tuned.history_[0]["loss"] > 0


def test_sample_weight_reaches_the_training():
    pruner = GlobalMagnitudePruner(
        make_pipeline(StandardScaler(), MLP),
        sparsity=0.3,
        fine_tune_epochs=30,
        learning_rate=0.03,
        random_state=0,
    )
    ours = pruner.fit(X, y, mlpclassifier__sample_weight=(y > 0).astype(float))
    assert not np.any(ours.predict(X) == 0)


@pytest.mark.parametrize("options", [dict(fine_tune_epochs=1), dict(schedule="cubic")])
def test_models_that_can_not_be_trained_further_say_so(options):
    with pytest.raises(
        ValueError, match=r"LogisticRegression has no partial_fit.*refit"
    ):
        GlobalMagnitudePruner(LogisticRegression(), **options).fit(X, y)
    with pytest.raises(ValueError, match="without an L1 penalty"):
        GlobalMagnitudePruner(
            LogisticRegression(l1_ratio=0.5, solver="saga"), fine_tune="refit_support"
        ).fit(X, y)


def test_training_without_data_or_epochs_beside_a_refit_is_refused():
    fitted = clone(MLP).fit(X, y)
    for data in ((None, None), (X, None)):
        with pytest.raises(ValueError, match="X and y must be given, as the pruned"):
            GlobalMagnitudePruner(fitted, fine_tune_epochs=1).fit(*data)
    with pytest.raises(ValueError, match="trains no epochs, got fine_tune_epochs=3"):
        GlobalMagnitudePruner(
            LogisticRegression(), fine_tune="refit_support", fine_tune_epochs=3
        ).fit(X, y)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (-np.ones(150), "Negative values"),
        (np.ones(90), "sample_weight.shape"),
        (np.ones((150, 2)), "must be 1D"),
        (np.zeros(150), "at least one non-zero"),
        (np.full(150, np.nan), "contains NaN"),
    ],
)
@pytest.mark.parametrize("kind", ["mlp", "module"])
def test_sample_weights_that_make_no_sense_are_refused(kind, weight, message):
    if kind == "mlp":
        model = clone(MLP).fit(X, y)
    else:
        model = pytest.importorskip("torch").nn.Linear(12, 3)
    pruner = GlobalMagnitudePruner(model, sparsity=0.5, fine_tune_epochs=1)
    with pytest.raises(ValueError, match=message):
        pruner.fit(X, y, sample_weight=weight)


@pytest.mark.parametrize("n_rows", [20, 190])
def test_targets_of_another_length_are_refused(n_rows):
    model = clone(MLP).fit(X, y)
    with pytest.raises(ValueError, match=f"y has {n_rows} rows but X has 150"):
        GlobalMagnitudePruner(model, fine_tune_epochs=1).fit(X, np.resize(y, n_rows))


@pytest.mark.parametrize("classes", [(0, 1), (0, 1, 2)])
def test_a_refit_refuses_labels_that_the_model_does_not_know(classes):
    known = np.isin(y, classes)
    model = LogisticRegression().fit(X[known], y[known])
    pruner = GlobalMagnitudePruner(model, sparsity=0.5, fine_tune="refit_support")
    with pytest.raises(
        ValueError, match=r"labels \[7\] that are not among the classes"
    ):
        pruner.fit(X, np.where(y == 1, 7, 0))


def test_a_pipeline_in_a_pruner_in_a_pruner_is_trained_on_the_rows_it_sees():
    inner = make_pipeline(StandardScaler(), clone(MLP)).fit(X, y)
    pruner = GlobalMagnitudePruner(
        GlobalMagnitudePruner(inner, sparsity=0.3).fit(X, y),
        sparsity=0.5,
        fine_tune_epochs=30,
        learning_rate=0.01,
        random_state=0,
    ).fit(X, y)
    assert pruner.score(X, y) > inner.score(X, y)
    assert zeros_where_masked(pruner)
