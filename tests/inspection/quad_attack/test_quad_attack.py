"""QuadAttack: exact on linear models, honest on networks, a scikit-learn citizen."""

import cvxpy
import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from minimalml.inspection import (
    OrderedAttackDisplay,
    QuadAttack,
    ordered_top_k_report,
    ordered_top_k_success,
    ordering_pairs,
)
from minimalml.linear_model import NaiveBayesProbe

QUIET = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
pytestmark = QUIET
OBJECTIVES = ["quad", "cw", "distillation"]


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X / 16, y


@pytest.fixture(scope="module")
def linear(digits):
    return LogisticRegression(C=0.1).fit(*digits)


@pytest.fixture(scope="module")
def network(digits):
    return MLPClassifier((32,), max_iter=40, random_state=0).fit(*digits)


def convolutional(seed=0):
    """A small network, trained for a moment on images."""
    torch.manual_seed(seed)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(288, 32),
        torch.nn.Tanh(),
        torch.nn.Linear(32, 10),
    )
    X, y = load_digits(return_X_y=True)
    X = torch.as_tensor(X / 16, dtype=torch.float32).reshape(-1, 1, 8, 8)
    optimizer = torch.optim.Adam(module.parameters(), 0.01)
    for _ in range(30):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(X), torch.as_tensor(y)).backward()
        optimizer.step()
    return module.eval()


def attack(model, X, y, k=3, **parameters):
    parameters = {"targets": "random", "random_state": 0} | parameters
    return QuadAttack(model, k=k, **parameters).fit(X, y).attack(X, y)


def smallest_by_cvxpy(model, x, targets, margin, bounds):
    high, low = ordering_pairs(targets[None], len(model.coef_))
    move = cvxpy.Variable(len(x))
    scores = model.coef_ @ (x + move) + model.intercept_
    demands = [scores[high[0]] - scores[low[0]] >= margin]
    demands += [x + move >= bounds[0], x + move <= bounds[1]]
    problem = cvxpy.Problem(cvxpy.Minimize(cvxpy.norm(move)), demands)
    problem.solve(cvxpy.CLARABEL)
    return problem.value


@pytest.mark.parametrize("k", [1, 5, 9])
@pytest.mark.parametrize("clip_values", [(0, 1), None])
def test_exact_attacks_are_the_smallest_there_are(linear, digits, k, clip_values):
    X, y = digits[0][:6], digits[1][:6]
    result = attack(linear, X, y, k, clip_values=clip_values)
    bounds = clip_values or (-1e3, 1e3)
    assert result.success.all()
    assert (np.isnan(result.coefficient)).all()
    for i in range(6):
        targets = result.target_indices[i]
        smallest = smallest_by_cvxpy(linear, X[i], targets, 0.2, bounds)
        np.testing.assert_allclose(result.l2[i], smallest, rtol=1e-5, atol=1e-8)
        np.testing.assert_allclose(
            result.distance_bound[i], smallest, rtol=1e-5, atol=1e-8
        )


@pytest.mark.parametrize("loss", OBJECTIVES)
def test_no_gradient_attack_beats_the_exact_one(linear, digits, loss):
    X, y = digits[0][:60], digits[1][:60]
    exact = attack(linear, X, y, margin=0.0)
    other = attack(
        linear, X, y, method="gradient", loss=loss, margin=0.5, n_search_steps=3
    )
    np.testing.assert_array_equal(exact.targets, other.targets)
    assert other.success.mean() > 0.5
    won = other.success
    assert (other.l2[won] >= exact.distance_bound[won] - 1e-9).all()


def test_what_no_valid_input_achieves_is_known(linear, digits):
    X, y = digits[0][:4], digits[1][:4]
    result = attack(linear, X, y, margin=500.0)
    assert not result.success.any() and np.isinf(result.distance_bound).all()
    np.testing.assert_array_equal(result.X_adversarial, X)


@pytest.mark.parametrize("loss", OBJECTIVES)
def test_successes_are_what_the_model_says(network, digits, loss):
    X, y = digits[0][:80], digits[1][:80]
    result = attack(network, X, y, loss=loss)
    ranked = np.argsort(-network.predict_proba(result.X_adversarial), axis=1)[:, :3]
    won = result.success
    assert won.mean() > 0.8
    np.testing.assert_array_equal(ranked[won], result.targets[won])
    np.testing.assert_array_equal(result.X_adversarial[~won], X[~won])
    assert result.X_adversarial.min() >= 0 and result.X_adversarial.max() <= 1
    np.testing.assert_allclose(result.l2, np.linalg.norm(result.perturbation, axis=1))
    assert not (result.targets == y[:, None]).any()


def test_more_search_steps_find_smaller_perturbations(network, digits):
    X, y = digits[0][:40], digits[1][:40]
    one = attack(network, X, y)
    five = attack(network, X, y, n_search_steps=5)
    both = one.success & five.success
    assert five.success.sum() >= one.success.sum()
    assert five.l2[both].mean() < one.l2[both].mean()


def test_stopping_on_success_stops_early_with_larger_perturbations(network, digits):
    X, y = digits[0][:40], digits[1][:40]
    whole = attack(network, X, y, k=1)
    first = attack(network, X, y, k=1, stop_on_success=True)
    assert first.success.all()
    assert first.l2.mean() > whole.l2.mean()


@pytest.mark.parametrize(
    "model",
    [
        SGDClassifier(random_state=0),
        LinearSVC(C=0.1),
        RidgeClassifier(),
        LinearDiscriminantAnalysis(),
        NaiveBayesProbe(),
        make_pipeline(StandardScaler(), PCA(20, random_state=0), RidgeClassifier()),
        make_pipeline(
            MinMaxScaler(), MLPClassifier((16,), max_iter=60, random_state=0)
        ),
    ],
    ids=lambda model: type(model[-1] if hasattr(model, "steps") else model).__name__,
)
def test_models_are_attacked_in_their_own_input_space(model, digits):
    X, y = digits[0][:400], digits[1][:400]
    model = clone(model).fit(X, y)
    result = attack(model, X[:30], y[:30], k=1)
    won = result.success
    assert won.mean() > 0.7
    moved = result.X_adversarial
    np.testing.assert_array_equal(model.predict(moved[won]), result.targets[won, 0])


@pytest.mark.parametrize("loss", OBJECTIVES)
@pytest.mark.parametrize("kind", ["linear", "network", "torch"])
def test_heads_of_many_classes_are_attacked_without_a_gram_matrix(
    linear, network, digits, monkeypatch, kind, loss
):
    model = {"linear": linear, "network": network, "torch": convolutional()}[kind]
    X, y = digits[0][:10], digits[1][:10]
    options = {"loss": loss, "max_iter": 8, "image_shape": (1, 8, 8)}
    dense = attack(model, X, y, **options)
    monkeypatch.setattr(
        "minimalml.inspection._quad_attack._factored_gram.LARGEST_GRAM", 9
    )
    ours = attack(model, X, y, **options)
    np.testing.assert_allclose(ours.X_adversarial, dense.X_adversarial, atol=1e-5)


def test_two_classes_are_swapped(digits):
    X, y = digits[0][:100], np.where(digits[1][:100] > 4, "high", "low")
    model = LogisticRegression().fit(X, y)
    attacker = QuadAttack(model).fit(X)
    swapped = model.predict(attacker.transform(X))
    assert (swapped != model.predict(X)).all()


@pytest.mark.parametrize("loss", OBJECTIVES)
def test_a_convolutional_network_is_attacked_in_images(digits, loss):
    module = convolutional()
    images = digits[0][:20].astype(np.float32).reshape(-1, 1, 8, 8)
    result = attack(module, images, digits[1][:20], k=2, loss=loss)
    assert result.X_adversarial.shape == images.shape
    assert result.X_adversarial.dtype == np.float32
    assert result.success.mean() > 0.6
    with torch.no_grad():
        logits = module(torch.as_tensor(result.X_adversarial)).numpy()
    won = result.success
    assert ordered_top_k_success(logits[won], result.target_indices[won]).all()


def test_torch_and_scikit_learn_networks_are_attacked_alike(network, digits):
    layers = []
    for weight, bias in zip(network.coefs_, network.intercepts_, strict=True):
        layers += [torch.nn.Linear(*weight.shape).double(), torch.nn.ReLU()]
        with torch.no_grad():
            layers[-2].weight.copy_(torch.as_tensor(weight.T))
            layers[-2].bias.copy_(torch.as_tensor(bias))
    module = torch.nn.Sequential(*layers[:-1])
    X, y = digits[0][:10], digits[1][:10]
    for loss in OBJECTIVES:
        ours = attack(network, X, y, loss=loss, max_iter=8)
        theirs = attack(module, X, y, loss=loss, max_iter=8)
        np.testing.assert_allclose(theirs.X_adversarial, ours.X_adversarial, atol=1e-6)


def test_images_can_be_flat_with_a_shape_and_a_device(digits):
    module = convolutional()
    images = digits[0][:6].astype(np.float32).reshape(-1, 1, 8, 8)
    flat = images.reshape(6, -1)
    options = {"k": 1, "image_shape": (1, 8, 8), "device": "cpu", "max_iter": 5}
    one = attack(module, images, digits[1][:6], k=1, max_iter=5)
    two = attack(module, flat, digits[1][:6], **options)
    assert two.X_adversarial.shape == flat.shape
    np.testing.assert_array_equal(one.X_adversarial.reshape(6, -1), two.X_adversarial)


class NanForSome(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(64, 10).double()

    def forward(self, X):
        bad = torch.where(X[:, :1] < 0.5, 1.0, torch.nan)
        return self.layer(X * bad)


def test_a_row_with_nan_scores_fails_alone(digits):
    X = digits[0][:6].copy()
    X[:, 0] = [0, 0, 0, 1, 0, 1]
    torch.manual_seed(0)
    module = NanForSome()
    attacker = QuadAttack(module, clip_values=(0, 1), random_state=0).fit(X[[0, 1, 2]])
    result = attacker.attack(X, targets=[5], y=[1] * 6)
    assert not result.success[[3, 5]].any() and result.success[[0, 1, 2, 4]].all()
    assert np.isfinite(result.X_adversarial).all()


def test_default_targets_are_the_least_likely_classes(linear, digits):
    X, y = digits[0][:10], digits[1][:10]
    result = attack(linear, X, y, k=2, targets=None)
    ranked = np.argsort(linear.decision_function(X), axis=1)[:, :2]
    np.testing.assert_array_equal(result.target_indices, ranked)


def test_transform_tells_what_became_of_each_row(linear, digits):
    X, y = digits[0][:10], digits[1][:10]
    attacker = QuadAttack(linear, k=2).fit(X)
    targets = np.column_stack([(y + 1) % 10, (y + 2) % 10])
    moved = attacker.transform(X, y, targets=targets)
    np.testing.assert_array_equal(attacker.targets_, targets)
    assert attacker.success_.all() and attacker.coef_.shape == (10,)
    norms = np.linalg.norm(moved - X, axis=1)
    np.testing.assert_allclose(attacker.perturbation_norms_, norms)
    one_for_all = attacker.transform(X, targets=[8, 9][::-1], y=np.zeros(10, int))
    assert one_for_all.shape == X.shape and (attacker.targets_ == [9, 8]).all()


def test_failures_can_show_the_last_step(network, digits):
    X, y = digits[0][:20], digits[1][:20]
    options = {"k": 9, "max_iter": 2, "learning_rate": 0.01}
    original = attack(network, X, y, **options)
    last = attack(network, X, y, on_failure="last", **options)
    lost = ~last.success
    assert lost.any() and (last.l2[lost] > 0).all() and (original.l2[lost] == 0).all()


def test_score_is_the_share_of_correct_rows_that_resist(network, digits):
    X, y = digits[0][:60], digits[1][:60].copy()
    y[:20] = (y[:20] + 1) % 10  # now misclassified: they don't count
    attacker = QuadAttack(network, k=9, max_iter=5, random_state=0).fit(X)
    right = network.predict(X) == y
    result = attacker.attack(X[right], y[right])
    assert attacker.score(X, y) == 1.0 - result.success.mean()
    with pytest.warns(UserWarning, match="No row is classified correctly"):
        assert np.isnan(attacker.score(X, (network.predict(X) + 1) % 10))


def test_robustness_is_tabulated_and_searched_like_accuracy(digits):
    X, y = digits[0][:300], digits[1][:300]
    attacker = QuadAttack(RidgeClassifier(), k=1, margin=0.05)
    scores = cross_validate(attacker, X, y, cv=2, error_score="raise")["test_score"]
    assert ((0 <= scores) & (scores <= 1)).all()
    grid = {"estimator__alpha": [0.1, 100.0]}
    search = GridSearchCV(attacker, grid, cv=2, error_score="raise").fit(X, y)
    assert search.best_params_["estimator__alpha"] in (0.1, 100.0)
    held = QuadAttack(FrozenEstimator(RidgeClassifier().fit(X, y)))
    assert len(cross_validate(held, X, y, cv=2)["test_score"]) == 2


def test_float32_stays_float32_within_the_bounds(linear, digits):
    X = digits[0][:20].astype(np.float32)
    result = attack(linear, X, digits[1][:20])
    assert result.X_adversarial.dtype == np.float32 and result.success.all()
    assert result.X_adversarial.min() >= 0 and result.X_adversarial.max() <= 1


def test_sample_weight_and_targets_are_routed(digits):
    X, y = digits[0][:100], digits[1][:100]
    weight = np.arange(100.0)
    plain = RidgeClassifier().fit(X, y, sample_weight=weight)
    direct = QuadAttack(RidgeClassifier()).fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(direct.estimator_.coef_, plain.coef_)
    with config_context(enable_metadata_routing=True):
        inner = RidgeClassifier().set_fit_request(sample_weight=True)
        outer = QuadAttack(inner).set_score_request(targets=True)
        outer.fit(X, y, sample_weight=weight)
        np.testing.assert_allclose(outer.estimator_.coef_, plain.coef_)
        params = {"sample_weight": weight, "targets": (y + 1) % 10}
        result = cross_validate(outer, X, y, params=params, error_score="raise", cv=2)
    assert np.isfinite(result["test_score"]).all()


def test_the_same_seed_gives_the_same_attack(network, digits):
    X, y = digits[0][:10], digits[1][:10]
    one, two = attack(network, X, y), attack(network, X, y)
    np.testing.assert_array_equal(one.X_adversarial, two.X_adversarial)
    other = attack(network, X, y, random_state=1)
    assert (other.X_adversarial != one.X_adversarial).any()


class CountTasks:
    """A callback that counts iterations and can ask to stop."""

    def __init__(self, stop_after=None):
        self.n_iterations, self.stop_after = 0, stop_after

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context, **kwargs):
        pass

    def on_fit_task_end(self, estimator, context, **kwargs):
        if context.task_name == "iteration":
            self.n_iterations += 1
            return self.n_iterations == self.stop_after


@pytest.mark.parametrize(("stop_after", "expected"), [(None, 14), (3, 3)])
def test_callbacks_see_each_iteration_and_can_stop(
    network, digits, stop_after, expected
):
    X, y = digits[0][:10], digits[1][:10]
    attacker = QuadAttack(network, max_iter=7, n_search_steps=2).fit(X)
    counter = CountTasks(stop_after)
    attacker.set_callbacks(counter).attack(X, y)
    assert counter.n_iterations == expected


def test_verbose_prints_a_line_a_batch(linear, digits, capsys):
    QuadAttack(linear, batch_size=4, verbose=1).fit(digits[0]).attack(digits[0][:6])
    assert capsys.readouterr().out.splitlines() == [
        "[QuadAttack] 4 of 6 rows",
        "[QuadAttack] 6 of 6 rows",
    ]


def test_batches_change_nothing_that_is_exact(linear, digits):
    X, y = digits[0][:10], digits[1][:10]
    whole, parts = attack(linear, X, y), attack(linear, X, y, batch_size=3)
    np.testing.assert_allclose(parts.X_adversarial, whole.X_adversarial, atol=1e-9)


@pytest.mark.parametrize("kind", ["network", "torch"])
def test_the_number_of_jobs_changes_nothing(network, digits, kind):
    model = {"network": network, "torch": convolutional()}[kind]
    X, y = digits[0][:10], digits[1][:10]
    options = {"batch_size": 4, "max_iter": 6, "image_shape": (1, 8, 8)}
    one = attack(model, X, y, **options)
    two = attack(model, X, y, n_jobs=2, **options)
    np.testing.assert_array_equal(two.X_adversarial, one.X_adversarial)


def test_the_report_counts_successes_and_measures_them():
    moved = np.array([[3.0, -4.0], [1.0, 0.0], [0.0, 2.0]])
    logits = np.array([[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 1.0, 2.0]])
    targets = np.array([[0, 1], [0, 1], [2, 1]])
    report = ordered_top_k_report(moved, logits, targets, common=[True, True, False])
    assert report.success_rate == 2 / 3 and report.unordered_success_rate == 1.0
    assert (report.l1.min, report.l1.max, report.linf.mean) == (2.0, 7.0, 3.0)
    assert (report.l2.mean, report.l2_common) == (3.5, 5.0)
    assert report.energy_curve.energy.tolist() == [2.0, 5.0]
    assert report.energy_curve.success_rate.tolist() == [1 / 3, 2 / 3]
    empty = ordered_top_k_report(moved[:1], logits[:1], targets[1:2] * 0 + [2, 0])
    assert empty.success_rate == 0 and np.isnan(empty.l2.mean)


def test_the_display_shows_the_rates(network, digits):
    X, y = digits[0][:30], digits[1][:30]
    attacker = QuadAttack(network, max_iter=15, targets="random", random_state=0)
    display = OrderedAttackDisplay.from_estimator(attacker, X, y, k_values=(1, 4))
    assert list(display.lines_) == OBJECTIVES
    for name, reports in display.reports_.items():
        by_k, by_length = display.lines_[name]
        assert by_k.get_xdata().tolist() == [1, 4]
        assert by_k.get_ydata().tolist() == [r.success_rate for r in reports]
        curve = reports[-1].energy_curve
        np.testing.assert_array_equal(by_length.get_xdata()[1:], curve.energy)
    again = OrderedAttackDisplay.from_results(display.results, axes=display.axes_)
    assert again.figure_ is display.figure_


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"k": 10}, ValueError, "k must be between 1 and 9.*got 10"),
        ({"k": 0}, ValueError, "'k' parameter.*Got 0"),
        ({"margin": -1.0}, ValueError, "'margin' parameter.*Got -1.0"),
        ({"clip_values": (0, 0.5)}, ValueError, "X must lie within clip_values"),
        ({"clip_values": (1, 0)}, ValueError, r"low < high, got \(1, 0\)"),
        ({"image_shape": (1, 7, 7)}, ValueError, "does not hold the 64 features"),
        ({"method": "exact", "loss": "cw"}, ValueError, "needs a linear model and"),
        (
            {"loss": "distillation", "alpha": 1.0},
            ValueError,
            "must exceed the largest class similarity",
        ),
        (
            {"estimator": RidgeClassifier(), "prefit": True},
            NotFittedError,
            "prefit=True needs a fitted estimator",
        ),
        (
            {"estimator": DecisionTreeClassifier()},
            TypeError,
            "DecisionTreeClassifier has no linear head; supported are",
        ),
    ],
)
def test_bad_parameters_are_refused_with_the_reason(
    linear, digits, parameters, error, message
):
    with pytest.raises(error, match=message):
        QuadAttack(**({"estimator": linear} | parameters)).fit(*digits)


def test_an_exact_attack_of_a_network_is_refused(network, digits):
    with pytest.raises(ValueError, match="got MLPClassifier and loss='quad'"):
        QuadAttack(network, method="exact").fit(*digits)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([[0, 1]] * 3, r"targets must have shape \(4, 2\) for 4 rows and k=2"),
        ([[5, 6], [5, 5], [5, 6], [5, 6]], "targets row 1 holds a class twice"),
        ([[5, 6], [5, 6], [5, 2], [5, 6]], "targets row 2 holds the row's true class"),
        ([[5, 6], [5, 6], [5, 6], [5, 11]], "targets row 3 holds the unknown label"),
        ([5, 6, 7], "targets must have shape"),
    ],
)
def test_bad_targets_are_refused_with_the_row(linear, digits, targets, message):
    X, y = digits[0][:4], digits[1][:4]  # 0, 1, 2, 3
    with pytest.raises(ValueError, match=message):
        QuadAttack(linear, k=2).fit(X).attack(X, y, targets=targets)


def test_bad_rows_and_labels_are_refused(linear, digits):
    X = digits[0][:4]
    attacker = QuadAttack(linear).fit(X)
    with pytest.raises(ValueError, match=r"X must lie within .* to 2: scale it"):
        attacker.transform(2.0 * np.ones((1, 64)))
    with pytest.raises(ValueError, match="y row 1 holds the unknown label"):
        attacker.attack(X[:2], y=[0, 77])
    with pytest.raises(ValueError, match="y has 2 labels but X has 4 rows"):
        attacker.attack(X, y=[0, 1])
    with pytest.raises(NotFittedError):
        QuadAttack(linear).transform(X)
