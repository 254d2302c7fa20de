"""Losses by hand and by torch, and networks beside the models that they reduce to."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.utils._param_validation import InvalidParameterError

from minimalml.bags import (
    AggregateMLPClassifier,
    AggregateMLPRegressor,
    AggregateRidge,
    aggregate_by_bag,
    aggregate_loss,
    aggregate_targets,
)
from minimalml.datasets import make_aggregate_regression, make_bags
from minimalml.neural_network import Training
from minimalml.testing import bag_data

torch = pytest.importorskip("torch")

LINEAR = {
    "hidden_layer_sizes": (),
    "max_epochs": 100,
    "learning_rate": 1.0,
    "random_state": 0,
    "training": Training(optimizer="lbfgs", dtype="float64"),
}


def draws(n, seed, scale=3.0):
    return scale * np.random.default_rng(seed).normal(size=n)


@given(bag_data(corners=[]), st.integers(0, 100), st.floats(0, 3))
def test_squared_losses_differ_by_the_spread_within_bags(data, seed, rho):
    _, y, bags = data
    f = draws(len(bags), seed)
    bag_level = aggregate_loss(y, f, bags)
    by_hand = np.mean((y - aggregate_targets(f, bags)) ** 2)
    assert bag_level == pytest.approx(by_hand, rel=1e-9, abs=1e-9)
    spread = np.mean((f - aggregate_targets(f, bags)) ** 2)
    found = aggregate_loss(y, f, bags, interpolation=rho)
    assert found == pytest.approx(bag_level + rho * spread, rel=1e-9, abs=1e-9)
    assert aggregate_loss(y, f, interpolation=rho) == pytest.approx(
        np.mean((y - f) ** 2)
    )


@given(bag_data(target="proportion", corners=[]), st.integers(0, 100))
def test_log_loss_is_of_mean_probabilities_and_convex(data, seed):
    y, bags = data[1].astype(np.float64), data[2]
    f = draws(len(bags), seed)
    p = aggregate_targets(expit(f), bags)
    expected = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    bag_level = aggregate_loss(y, f, bags, loss="log_loss")
    assert bag_level == pytest.approx(expected, rel=1e-9)
    rows = aggregate_loss(y, f, bags, loss="log_loss", interpolation=1)
    assert bag_level <= rows + 1e-12


@pytest.mark.kernel
@pytest.mark.parametrize("loss", ["squared_error", "log_loss"])
@pytest.mark.parametrize("rho", [0.0, 0.3, 1.0])
def test_tensors_give_the_same_loss_with_gradients(loss, rho):
    bags = np.random.default_rng(0).integers(6, size=20)
    y = aggregate_targets(np.random.default_rng(1).random(20), bags)
    f = torch.tensor(draws(20, 2), requires_grad=True)
    options = {"bags": bags, "interpolation": rho, "loss": loss}
    found = aggregate_loss(torch.tensor(y), f, **options)
    expected = aggregate_loss(y, f.detach().numpy(), **options)
    assert found.shape == () and found.item() == pytest.approx(expected, rel=1e-12)
    assert torch.autograd.gradcheck(lambda f: aggregate_loss(y, f, **options), f)


def test_logits_of_any_size_have_finite_losses():
    y, bags = np.array([0.0, 0.0, 1.0, 1.0]), [0, 0, 1, 1]
    logits = np.array([1e3, -1e3, -1e3, -1e3])
    for rho, expected in ((0, (np.log(2) + 1000) / 2), (1, (1000 + 0 + 2000) / 4)):
        options = {"bags": bags, "loss": "log_loss", "interpolation": rho}
        assert aggregate_loss(y, logits, **options) == pytest.approx(expected)
        tensor = torch.tensor(logits, dtype=torch.float32, requires_grad=True)
        aggregate_loss(y, tensor, **options).backward()
        assert tensor.grad.isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"loss": "log_loss", "interpolation": 1.5},
            r"interpolation must be in \[0, 1\]",
        ),
        ({"loss": "hinge"}, "'loss' parameter of aggregate_loss"),
        ({"interpolation": -1}, "'interpolation' parameter of aggregate_loss"),
        ({"y": [0.5, 0.5, 2.0], "loss": "log_loss"}, r"number in \[0, 1\], got 2.0"),
        ({"y": ["a", "a", "b"], "loss": "log_loss"}, "aggregate_targets.y == positive"),
        ({"y": [0.5, 0.7, 1.0]}, "bag 0 has 0.5 and 0.7"),
        ({"y": [0.5, 0.5]}, "inconsistent numbers of samples"),
        ({"predictions": [1.0, np.inf, 2.0]}, "Input predictions contains infinity"),
        ({"predictions": torch.tensor([1.0, np.nan, 2.0])}, "predictions contains NaN"),
        (
            {"predictions": torch.ones(3, 2)},
            r"predictions must be floats of shape \(n_s",
        ),
        ({"bags": [0, 1]}, "bags has 2 ids but X has 3 rows"),
    ],
)
def test_losses_of_what_cannot_be_are_refused(options, message):
    options = {"y": [0.5, 0.5, 1.0], "predictions": [1.0, 2.0, 3.0], "bags": [0, 0, 1]} | options  # fmt: skip
    with pytest.raises(ValueError, match=message):
        aggregate_loss(**options)


# --- networks ---


@pytest.mark.parametrize("rho", [0.0, 0.3, 1.0, 2.0])
def test_a_linear_network_is_the_linear_model(rho):
    X, y, bags, _ = make_aggregate_regression(200, 3, bag_size=(1, 5), random_state=0)
    y = 10 * y + 100
    network = AggregateMLPRegressor(interpolation=rho, **LINEAR).fit(X, y, bags)
    expected = AggregateRidge(interpolation=rho).fit(X, y, bags).predict(X)
    np.testing.assert_allclose(network.predict(X), expected, atol=1e-4)


def labelled(n=300):
    X, labels = make_classification(n, 5, flip_y=0.2, random_state=0)
    return X, labels, make_bags(n, 3, random_state=0)


def test_single_labels_make_logistic_regression():
    X, labels, _ = labelled()
    names = np.array(["no", "yes"])[labels]
    network = AggregateMLPClassifier(**LINEAR).fit(X, names)
    model = LogisticRegression(C=np.inf, tol=1e-8).fit(X, names)
    expected = model.predict_proba(X)
    np.testing.assert_allclose(network.predict_proba(X), expected, atol=1e-4)
    np.testing.assert_array_equal(network.predict(X), model.predict(X))
    assert network.score(X, names) == model.score(X, names)
    unbiased = AggregateMLPClassifier(loss="unbiased", **LINEAR).fit(X, names)
    np.testing.assert_allclose(unbiased.predict_proba(X), expected, atol=1e-4)


@pytest.mark.parametrize("rho", [0.0, 0.4])
def test_a_linear_network_of_shares_has_the_least_loss(rho):
    X, labels, bags = labelled()
    shares = aggregate_targets(labels, bags)
    network = AggregateMLPClassifier(interpolation=rho, **LINEAR).fit(X, shares, bags)
    head = network.module_.head
    for parameter in head.parameters():
        parameter.requires_grad_(True).grad = None
    logits = head(torch.tensor(X))[:, 0]
    loss = aggregate_loss(shares, logits, bags, interpolation=rho, loss="log_loss")
    loss.backward()
    assert loss.item() == pytest.approx(network.loss_curve_[-1], rel=1e-6)
    assert head.weight.grad.abs().max() < 1e-4
    means = aggregate_by_bag(network.predict_proba(X)[:, 1], bags)[1]
    truth = aggregate_by_bag(shares, bags)[1]
    assert np.corrcoef(means, truth)[0, 1] > 0.5


def test_the_unbiased_loss_is_that_of_labels_on_average():
    from minimalml._core.groups import GroupIndex

    labels, logits = labelled(400)[1], torch.tensor(draws(400, 0, 1.0))
    model, losses = AggregateMLPClassifier(loss="unbiased"), []
    model._share = labels.mean()
    for seed in range(300):
        index = GroupIndex(make_bags(400, 4, random_state=seed), 400)
        shares = torch.tensor(index.mean(labels))
        losses.append(model._batch_loss(shares, logits, index.to("cpu")).item())
    expected = log_loss(labels, expit(logits.numpy()))
    assert np.mean(losses) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("cls", [AggregateMLPRegressor, AggregateMLPClassifier])
def test_whole_bags_are_held_out_and_fit_goes_on(cls):
    X, labels, bags = labelled()
    y = aggregate_targets(labels, bags)
    settings = {"learning_rate": 0.01, "random_state": 0}
    model = cls((16,), early_stopping=True, max_epochs=200, **settings).fit(X, y, bags)
    best = max(model.validation_scores_)
    assert model.validation_scores_[model.best_epoch_ - 1] == best < 0
    assert model.n_iter_ < 200 and model.score(X, y, bags) > 0.3
    warm = cls((16,), warm_start=True, max_epochs=5, **settings)
    scores = [warm.fit(X, y, bags).score(X, y, bags) for _ in range(4)]
    assert warm.n_iter_ == 20 and scores[-1] > scores[0]


def test_what_a_network_cannot_learn_from_is_named():
    X, labels, bags = labelled()
    shares = aggregate_targets(labels, bags)
    with pytest.raises(InvalidParameterError, match="'interpolation' parameter"):
        AggregateMLPClassifier(interpolation=1.5).fit(X, shares, bags)
    with pytest.raises(InvalidParameterError, match="'loss' parameter"):
        AggregateMLPClassifier(loss="hinge").fit(X, shares, bags)
    with pytest.raises(
        ValueError, match="interpolation must be 0 with loss='unbiased'"
    ):
        AggregateMLPClassifier(loss="unbiased", interpolation=0.5).fit(X, shares, bags)
    with pytest.raises(ValueError, match=r"got -1.0: y=aggregate_targets"):
        AggregateMLPClassifier().fit(X, np.full(len(X), -1.0), bags)
    with pytest.raises(ValueError, match="must give n_outputs=1 numbers a row"):
        AggregateMLPRegressor(module=torch.nn.Linear(5, 2)).fit(X, shares, bags)
    model = AggregateMLPClassifier((4,), max_epochs=2, warm_start=True).fit(X, labels)
    with pytest.raises(ValueError, match=r"classes \['a', 'b'\], but .* for \[0, 1\]"):
        model.fit(X, np.array(["a", "b"])[labels])
