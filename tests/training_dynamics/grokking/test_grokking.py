"""The exact model, its loss and its plateau, and the verdict on curves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from minimalml.training_dynamics._grokking._lazy_rich_descent import descend
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from minimalml.training_dynamics import detect_grokking, simulate_lazy_rich

seeds = st.integers(0, 10**6)
ROUNDING = 1e-9  # of a few hundred steps


def polynomial_task(seed, n_features=25, n_samples=120):
    """Return X, y and beta of the paper's task."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features)) / np.sqrt(n_features)
    beta = rng.normal(size=n_features)
    beta *= np.sqrt(n_features) / np.linalg.norm(beta)
    return X, (X @ beta) ** 2 / 2, beta


@settings(max_examples=10)
@given(seed=seeds, n_hidden=st.integers(1, 6), n_features=st.integers(1, 5),
       n_samples=st.integers(1, 7), alpha=st.floats(0.3, 5), epsilon=st.floats(0.01, 0.5),
       center=st.booleans())  # fmt: skip
def test_moments_descend_as_weights_do(
    seed, n_hidden, n_features, n_samples, alpha, epsilon, center
):
    torch = pytest.importorskip("torch")
    X, _, beta = polynomial_task(seed, n_features, n_samples)
    X = X / np.linalg.norm(X, axis=1, keepdims=True)  # far rows would diverge
    y = (X @ beta) ** 2 / 2
    W0 = np.random.default_rng(seed).normal(size=(n_hidden, n_features))
    run = simulate_lazy_rich(X, y, alpha=alpha, epsilon=epsilon, eta0=0.01, W0=W0,
                             max_steps=200, record=200, center=center)  # fmt: skip
    X, y, W = (torch.tensor(a, dtype=torch.float64) for a in (X, y, W0))

    def outputs(W):
        h = X @ W.T
        return alpha * (h + epsilon / 2 * h**2).mean(1)

    y = y + outputs(W) if center else y
    W.requires_grad_()
    for _ in range(200):
        loss = (outputs(W) - y).square().mean()
        [gradient] = torch.autograd.grad(loss, W)
        W.data -= 0.01 * n_hidden / alpha**2 * gradient
    W = W.detach()
    loss = (outputs(W) - y).square().mean()
    np.testing.assert_allclose(run.w_bar, W.mean(0), atol=ROUNDING)
    np.testing.assert_allclose(run.M, W.T @ W / n_hidden, atol=ROUNDING)
    assert run.train_loss[-1] == pytest.approx(float(loss), abs=ROUNDING)
    eigenvalues = np.linalg.eigvalsh(run.M)
    assert eigenvalues[0] >= -1e-10 * eigenvalues[-1]


@pytest.mark.kernel
@pytest.mark.parametrize(("n_features", "n_samples"), [(1, 1), (3, 8), (17, 5)])
def test_kernel_steps_as_the_formula_says(n_features, n_samples):
    X, y, beta = polynomial_task(0, n_features, n_samples)
    y.flags.writeable = False
    alpha, epsilon, eta0, identity = 0.7, 0.3, 0.1, np.eye(n_features)
    w, M = 0.1 * beta, identity + 0.1 * np.outer(beta, beta)
    kernel_w, kernel_M = w.copy(), M.copy()
    c = 2 * eta0 / alpha

    def residuals():
        return alpha * (X @ w + epsilon / 2 * np.sum((X @ M) * X, axis=1)) - y

    arguments = (np.ascontiguousarray(X.T), y, alpha, epsilon, eta0, kernel_w, kernel_M)
    n_taken, loss = descend(*arguments, 5, np.inf)
    for _ in range(5):
        r = residuals()
        g, G = X.T @ r / n_samples, (X.T * r) @ X / n_samples
        A = identity - c * epsilon * G
        cross = np.outer(A @ w, g)
        M = A @ M @ A - c * (cross + cross.T) + c**2 * np.outer(g, g)
        w = A @ w - c * g
    np.testing.assert_allclose(kernel_w, w, atol=1e-13)
    np.testing.assert_allclose(kernel_M, M, atol=1e-13)
    assert n_taken == 5 and loss == pytest.approx(np.mean(residuals() ** 2))
    assert descend(*arguments, 5, 0.9 * loss) == (0, loss)


@pytest.mark.parametrize("center", [False, True])
def test_test_loss_is_that_of_new_rows(center):
    X, y, beta = polynomial_task(3, 4, 9)
    W0 = np.random.default_rng(3).normal(size=(5, 4))
    run = simulate_lazy_rich(X, y, alpha=1.5, beta=beta, W0=W0, center=center,
                             max_steps=30, record=30)  # fmt: skip
    new = np.random.default_rng(4).normal(size=(2_000_000, 4)) / 2
    w, M = run.w_bar, run.M
    if center:
        w, M = w - W0.mean(axis=0), M - W0.T @ W0 / 5
    f = 1.5 * (new @ w + 0.125 * np.sum((new @ M) * new, axis=1))
    errors = (f - (new @ beta) ** 2 / 2) ** 2
    standard_error = errors.std() / np.sqrt(len(errors))
    assert abs(errors.mean() - run.test_loss[-1]) < 4 * standard_error
    assert (run.terms >= 0).all()
    np.testing.assert_allclose(run.terms.sum(axis=1), run.test_loss)
    expected = beta @ run.M @ beta / (beta @ beta * np.linalg.norm(run.M))
    assert run.alignment[-1] == pytest.approx(expected)


@pytest.mark.parametrize("center", [False, True])
def test_plateau_is_the_loss_of_kernel_regression(center):
    X, y, beta = polynomial_task(1, 4, 9)
    W0 = np.random.default_rng(1).normal(size=(50, 4))
    run = simulate_lazy_rich(X, y, beta=beta, W0=W0, center=center, max_steps=1)
    new = np.random.default_rng(2).normal(size=(200_000, 4)) / 2

    def outputs(X):
        h = X @ W0.T
        return 0.0 if center else (h + h**2 / 8).mean(axis=1)

    def kernel(X_1, X_2):
        slopes = [1 + X @ W0.T / 4 for X in (X_1, X_2)]
        return (X_1 @ X_2.T) * (slopes[0] @ slopes[1].T)

    coefficients = np.linalg.solve(kernel(X, X) + 1e-9 * np.eye(9), y - outputs(X))
    f = outputs(new) + kernel(new, X) @ coefficients
    errors = (f - (new @ beta) ** 2 / 2) ** 2
    standard_error = errors.std() / np.sqrt(len(errors))
    assert abs(errors.mean() - run.kernel_test_loss) < 4 * standard_error


def test_a_lazy_network_ends_at_the_plateau():
    X, y, beta = polynomial_task(1, 6, 12)
    run = simulate_lazy_rich(X, y, alpha=1e4, beta=beta, center=True, eta0=2,
                             max_steps=100_000, random_state=1)  # fmt: skip
    assert run.train_loss[-1] < 1e-4 * run.train_loss[0]
    assert run.test_loss[-1] == pytest.approx(run.kernel_test_loss, rel=0.01)


def test_a_lazy_network_follows_the_linear_recursion():
    X, y, beta = polynomial_task(2, 5, 8)
    W0 = np.random.default_rng(2).normal(size=(20, 5))
    run = simulate_lazy_rich(X, y, alpha=1e4, beta=beta, W0=W0, center=True,
                             max_steps=500, record=1)  # fmt: skip
    w, M = W0.mean(axis=0), W0.T @ W0 / 20
    slope = X @ w / 4
    K = (X @ X.T) * (1 + slope[:, None] + slope + X @ M @ X.T / 16)  # alpha^2 / N apart
    residual, losses = -y, []
    for _ in range(501):
        losses.append(np.mean(residual**2))
        residual = residual - 2 / 8 * K @ residual
    np.testing.assert_allclose(run.train_loss, losses, rtol=1e-2)


@given(seed=seeds, center=st.booleans())
def test_rotation_changes_no_loss(seed, center):
    X, y, beta = polynomial_task(seed, 3, 6)
    rng = np.random.default_rng(seed)
    W0, (Q, _) = rng.normal(size=(4, 3)), np.linalg.qr(rng.normal(size=(3, 3)))
    options = dict(eta0=0.05, max_steps=50, record=10, center=center)
    run = simulate_lazy_rich(X, y, beta=beta, W0=W0, **options)
    turned = simulate_lazy_rich(X @ Q, y, beta=Q.T @ beta, W0=W0 @ Q, **options)
    for name in ("train_loss", "terms", "alignment"):
        np.testing.assert_allclose(getattr(turned, name), getattr(run, name), rtol=1e-8)
    assert turned.kernel_test_loss == pytest.approx(run.kernel_test_loss, rel=1e-4)


def test_lazier_networks_grok_later_on_the_papers_task():
    ratios = {}
    for alpha in (0.25, 4.0):
        X, y, beta = polynomial_task(0)
        run = simulate_lazy_rich(X, y, alpha=alpha, eta0=2, n_hidden=100, beta=beta,
                                 random_state=0)  # fmt: skip
        found = detect_grokking(run.step, run.train_loss, run.test_loss, scale=0.75)
        assert found["grokked"] and run.alignment[-1] > 0.99
        assert run.kernel_test_loss > 20 * run.test_loss[-1]
        ratios[alpha] = found
    assert ratios[4.0]["t_test"] > 8 * ratios[0.25]["t_test"]
    assert ratios[4.0]["log10_gap"] > ratios[0.25]["log10_gap"]


def test_infinitely_many_units_start_at_the_expectation():
    X, y, beta = polynomial_task(0, 4, 9)
    run = simulate_lazy_rich(X, y, beta=beta, n_hidden=np.inf, max_steps=1, record=1)
    assert run.alignment[0] == pytest.approx(0.5)  # 1 / sqrt(D)
    many = simulate_lazy_rich(X, y, beta=beta, n_hidden=10**6, max_steps=1, record=1,
                              random_state=0)  # fmt: skip
    np.testing.assert_allclose(many.test_loss, run.test_loss, rtol=0.01)
    assert many.kernel_test_loss == pytest.approx(run.kernel_test_loss, rel=0.01)


def test_records_are_where_they_were_asked_for():
    X, y, beta = polynomial_task(0, 4, 9)
    by_three = simulate_lazy_rich(X, y, max_steps=10, record=3, random_state=0)
    assert by_three.step.tolist() == [0, 3, 6, 9]
    assert np.isnan(by_three.test_loss).all() and np.isnan(by_three.kernel_test_loss)
    each = simulate_lazy_rich(X, y, beta=beta, max_steps=9, record=1, random_state=0)
    np.testing.assert_allclose(each.train_loss[::3], by_three.train_loss)
    log = simulate_lazy_rich(X, y, max_steps=5000, random_state=0)
    assert log.step[0] == 0 and log.step[-1] == 5000 and 80 < len(log.step) <= 121
    for small in (
        simulate_lazy_rich(X[:1], y[:1]),
        simulate_lazy_rich(0 * X, 0 * y + 1),
    ):
        assert np.isfinite(small.train_loss).all()


def test_divergence_is_told_and_the_history_ends_before():
    X, y, beta = polynomial_task(0, 4, 9)
    with pytest.warns(
        ConvergenceWarning, match=r"step \d+ is the last stable .* eta0=50"
    ):
        run = simulate_lazy_rich(X, y, beta=beta, eta0=50, random_state=0)
    assert len(run.step) < 121 and run.train_loss.max() <= 1e3 * run.train_loss[0]
    assert np.isfinite(run.M).all() and np.isfinite(run.test_loss).all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(alpha=0), ValueError, "'alpha' parameter of simulate_lazy_rich must be"),
        (dict(alpha=np.inf), ValueError, "'alpha' parameter"),
        (dict(epsilon=-0.1), ValueError, "'epsilon' parameter"),
        (dict(eta0=0), ValueError, "'eta0' parameter"),
        (dict(n_hidden=0), ValueError, "'n_hidden' parameter"),
        (dict(record="all"), ValueError, "'record' parameter"),
        (dict(beta=[1.0, 2.0]), ValueError, r"beta must have 4 columns .* \(2,\)"),
        (dict(beta=np.eye(4)), ValueError, "beta must have 4 columns"),
        (dict(W0=np.ones((3, 5))), ValueError, r"W0 must have 4 columns .* \(3, 5\)"),
        (dict(y=[np.nan] * 9), ValueError, "NaN"),
        (dict(y=[1.0]), ValueError, "inconsistent numbers of samples"),
        (dict(X=sparse.eye_array(9, 4)), TypeError, "dense"),
    ],
)
def test_bad_input_of_the_simulation_is_refused(options, error, message):
    X, y, _ = polynomial_task(0, 4, 9)
    with pytest.raises(error, match=message):
        simulate_lazy_rich(**dict(X=X, y=y) | options)


def test_a_linear_model_is_told_that_it_cannot_learn():
    with pytest.warns(UserWarning, match="epsilon=0 leaves a linear model"):
        simulate_lazy_rich(*polynomial_task(0, 4, 9)[:2], epsilon=0.0, max_steps=5)


# --- curves ---


def first_low(steps, loss, limit):
    """Brute force: the definition, record by record."""
    pairs = [(s, v <= limit) for s, v in zip(steps, loss, strict=True) if v == v]
    for i, (step, is_low) in enumerate(pairs):
        later = [low for _, low in pairs[i:]]
        if is_low and sum(later) >= 0.9 * len(later):
            return step
    return np.inf


losses = st.lists(
    st.sampled_from([0.01, 0.05, 0.2, 1.0, np.nan]), min_size=30, max_size=30
)


@given(train=losses, test=losses, factor=st.floats(0.1, 10), ratio=st.floats(1, 20))
def test_verdict_is_that_of_the_definition(train, test, factor, ratio):
    steps = np.arange(30) ** 2
    found = detect_grokking(steps, train, test, scale=0.8, min_ratio=ratio)
    t_train, t_test = (first_low(steps, loss, 0.1 * 0.8) for loss in (train, test))
    assert (found["t_train"], found["t_test"]) == (t_train, t_test)
    assert found["overfit"] == (t_train < np.inf == t_test)
    is_late = t_train < np.inf and ratio * max(t_train, 1) <= t_test < np.inf
    assert found["grokked"] == is_late
    scaled = [np.multiply(factor, loss) for loss in (train, test)]
    again = detect_grokking(steps, *scaled, scale=0.8 * factor, min_ratio=ratio)
    assert str(again) == str(found)  # NaN is equal to itself there
    relabelled = detect_grokking(np.sqrt(steps), train, test, scale=0.8)
    assert relabelled["t_test"] == np.sqrt(t_test)


def test_scale_is_the_first_test_loss_and_dips_do_not_count():
    train, test = [1.0] * 4 + [0.0] * 16, [np.nan, 2.0] + [1.0] * 7 + [0.15] * 11
    found = detect_grokking(np.arange(20), train, test, min_ratio=2.0)
    assert (found["t_train"], found["t_test"], found["grokked"]) == (4.0, 9.0, True)
    assert found["log10_gap"] == pytest.approx(np.log10(9 / 4))
    dip = [1.0, 0.0] + [1.0] * 17 + [0.0]
    assert detect_grokking(np.arange(20), dip, test)["t_train"] == 19
    nothing = detect_grokking(np.arange(20), train, np.full(20, np.nan), scale=1)
    assert nothing["overfit"] and not nothing["grokked"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 1, 2], [1, 1, 1], [1, 1]), "of one length"),
        (([0, 1], [1, 1], [1, 1]), "at least 3 records"),
        (([0, 1, 1], [1, 1, 1], [1, 1, 1]), "steps must increase"),
        (([0, 1, np.nan], [1, 1, 1], [1, 1, 1]), "steps contains NaN"),
        (([0, 1, 2], [1, 1, np.inf], [1, 1, 1]), "train contains infinity"),
    ],
)
def test_bad_curves_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        detect_grokking(*arguments)
    with pytest.raises(ValueError, match="'q' parameter of detect_grokking"):
        detect_grokking([0, 1, 2], [1, 1, 1], [1, 1, 1], q=0)
