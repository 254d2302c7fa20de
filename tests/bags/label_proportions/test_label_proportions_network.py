"""The network: rounds of labelling and learning, and what training brings with it."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import scale

from minimalml.bags import (
    LabelProportionMLPClassifier,
    aggregate_targets,
    propagate_label_proportions,
    similarity_graph,
)
from minimalml.datasets import make_bags
from minimalml.neural_network import Training
from tests.conventions import Recorder

torch = pytest.importorskip("torch")


def blobs(n=120, bag_size=4):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, n)
    X = rng.normal(size=(n, 2)) + 3 * y[:, None]
    bags = np.arange(n) // bag_size
    return X, y, aggregate_targets(y, bags), bags


def network(**options):
    options = {"metric": "euclidean", "max_epochs": 5, "random_state": 0} | options
    return LabelProportionMLPClassifier((16,), **options)


def weights(model):
    return torch.cat([p.detach().ravel() for p in model.module_.parameters()]).numpy()


def test_it_learns_digits_from_bags_of_eight():
    X, number = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    X, y, bags = scale(X[order]), number[order] % 2, make_bags(1280, 8, random_state=0)
    model = LabelProportionMLPClassifier(random_state=0)
    model.fit(X[:1280], aggregate_targets(y[:1280], bags), bags=bags)
    assert (model.predict(X[1280:]) == y[1280:]).mean() > 0.95
    assert (model.n_iter_, len(model.loss_curve_)) == (30, 30)
    assert ((model.log_odds_ > 0) == y[:1280]).mean() > 0.95


def test_labels_are_learnt_in_one_round_without_bags():
    X, y, *_ = blobs()
    one = network().fit(X, np.array(["no", "yes"])[y])
    other = network(n_iterations=4, bag_loss_weight=9.0, bag_strength=0.0)
    other.fit(X, y, bags=np.arange(len(X)))
    np.testing.assert_array_equal(weights(one), weights(other))
    assert one.pseudo_labels_.tolist() == np.array(["no", "yes"])[y].tolist()
    assert one.classes_.tolist() == ["no", "yes"] and other.classes_.tolist() == [0, 1]
    log_odds = one.decision_function(X)
    probability = one.predict_proba(X)
    np.testing.assert_allclose(probability[:, 1], 1 / (1 + np.exp(-log_odds)))
    np.testing.assert_array_equal(one.predict(X) == "yes", log_odds > 0)


def test_without_shares_in_the_loss_it_is_logistic_regression_of_labels():
    X, _, shares, bags = blobs()
    model = LabelProportionMLPClassifier(
        (),
        metric="euclidean",
        n_iterations=1,
        bag_loss_weight=0.0,
        pseudo_labels="soft",
        training=Training(optimizer="lbfgs", dtype="float64"),
        random_state=0,
    ).fit(X, shares, bags=bags)
    both = np.repeat([1, 0], len(X))
    q = model.pseudo_labels_
    expected = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(
        np.vstack([X, X]), both, sample_weight=np.concatenate([q, 1 - q])
    )
    np.testing.assert_allclose(
        model.decision_function(X), expected.decision_function(X), rtol=0.02, atol=0.05
    )


def test_the_second_round_finds_neighbours_among_features():
    X, _, shares, bags = blobs()
    one = network(n_iterations=1).fit(X, shares, bags=bags)
    two = network(n_iterations=2).fit(X, shares, bags=bags)
    features = one.module_.features(torch.tensor(X, dtype=torch.float32)).detach()
    graph = similarity_graph(features.numpy(), metric="cosine")
    expected = propagate_label_proportions(graph, shares, bags)
    np.testing.assert_allclose(two.log_odds_, expected.log_odds, rtol=1e-3, atol=1e-3)
    assert np.abs(one.log_odds_ - two.log_odds_).max() > 0.01


def test_shares_of_bags_are_learnt_beside_rows(capsys):
    X, _, shares, bags = blobs()
    plain = network(bag_loss_weight=0.0).fit(X, shares, bags=bags)
    both = network(bag_loss_weight=1.0, verbose=2).fit(X, shares, bags=bags)
    assert np.abs(weights(plain) - weights(both)).max() > 1e-3
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 10 and all("rows" in p and "bags" in p for p in printed)


def test_bags_are_held_out_for_early_stopping():
    X, _, shares, bags = blobs()
    model = network(
        max_epochs=60, early_stopping=True, learning_rate=0.05,
        training=Training(n_iter_no_change=2, validation_fraction=0.2),
    ).fit(X, shares, bags=bags)  # fmt: skip
    scores = np.array(model.validation_scores_)
    assert (scores < 0).all() and len(scores) == model.n_iter_ <= 60
    assert scores[model.best_epoch_ - 1] >= scores.max() - 1e-4
    with pytest.raises(ValueError, match="validation_fraction"):
        network(early_stopping=True).fit(X[:16], shares[:16], bags=bags[:16])


def test_each_round_has_a_checkpoint_of_its_own(tmp_path):
    X, _, shares, bags = blobs()
    expected = network().fit(X, shares, bags=bags)
    for run in ("whole", "again"):
        path = tmp_path / "run.pt"
        model = network(training=Training(checkpoint=path)).fit(X, shares, bags=bags)
        np.testing.assert_array_equal(weights(model), weights(expected), err_msg=run)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["run.pt", "run.pt.1"]


def test_callbacks_see_all_epochs_and_stop_all_rounds():
    X, _, shares, bags = blobs()
    for stop_at, n_epochs in ((None, 10), ("epoch", 1)):
        recorder = Recorder(stop_at)
        network().set_callbacks(recorder).fit(X, shares, bags=bags)
        assert sum(name == "epoch" for name, *_ in recorder.tasks) == n_epochs
        assert recorder.calls["setup"] == recorder.calls["teardown"] == 1


def test_a_network_of_your_own():
    X, y, shares, bags = blobs()
    own = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))  # fmt: skip
    before = [p.clone() for p in own.parameters()]
    model = network(module=own, max_epochs=40, learning_rate=0.01)
    model.fit(X, shares, bags=bags)
    assert (model.predict(X) == y).mean() > 0.9
    assert isinstance(model.module_, torch.nn.Sequential)
    assert not model.module_[-1]._forward_pre_hooks
    assert all(torch.equal(a, b) for a, b in zip(before, own.parameters(), strict=True))
    with pytest.raises(TypeError, match=r"PReLU must end in a torch\.nn\.Linear"):
        network(module=torch.nn.PReLU()).fit(X, shares, bags=bags)
    with pytest.raises(ValueError, match="module must give n_outputs=1 numbers"):
        network(module=torch.nn.Linear(2, 3)).fit(X, shares, bags=bags)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_iterations": 0}, "'n_iterations' parameter"),
        ({"bag_loss_weight": -0.1}, "'bag_loss_weight' parameter"),
        ({"pseudo_labels": "best"}, "'pseudo_labels' parameter"),
        ({"hidden_layer_sizes": (0,)}, "hidden_layer_sizes must be"),
    ],
)
def test_parameters_out_of_range_are_named(options, message):
    X, _, shares, bags = blobs()
    with pytest.raises(ValueError, match=message):
        network().set_params(**options).fit(X, shares, bags=bags)
