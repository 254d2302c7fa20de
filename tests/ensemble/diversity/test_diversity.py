"""Measures beside scipy's and plain loops, and networks beside networks alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy
from sklearn.datasets import load_digits, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from minimalml.ensemble import (
    DiversityRegularizedClassifier,
    DiversityRegularizedRegressor,
    diversity,
    diversity_decomposition,
    subset_report,
)

MEASURES = ("jensen_gap", "variance", "jsd", "jsd_one_vs_all", "one_vs_all")
seeds = st.integers(0, 10**6)


def draw(seed, n_members=4, n=7, n_classes=3):
    rng = np.random.default_rng(seed)
    probas = rng.dirichlet(np.full(n_classes, 0.5), size=(n_members, n))
    return probas, rng.integers(0, n_classes, n), rng.uniform(0.1, 2, n)


@given(seed=seeds, combine=st.sampled_from(["probability", "logit"]))
def test_loss_is_that_of_members_less_diversity(seed, combine):
    probas, y, weights = draw(seed)
    for loss in ("log_loss", "brier", "zero_one"):
        if combine == "logit" and loss != "log_loss":
            continue
        parts = diversity_decomposition(
            probas, y, loss=loss, combine=combine, sample_weight=weights
        )
        gap = parts["average_loss"] - parts["ensemble_loss"]
        assert parts["diversity"] == pytest.approx(gap, abs=1e-12)
        assert parts["average_loss"] == pytest.approx(parts["member_losses"].mean())
        assert loss == "zero_one" or parts["diversity"] >= -1e-12
        order = np.random.default_rng(seed).permutation(len(probas))
        moved = diversity_decomposition(probas[order], y, loss=loss, combine=combine,
                                        sample_weight=weights)  # fmt: skip
        assert moved["diversity"] == pytest.approx(parts["diversity"])


@given(seed=seeds)
def test_measures_are_those_of_their_definitions(seed):
    probas, y, weights = draw(seed)
    mean = probas.mean(axis=0)
    parts = diversity_decomposition(probas, y, sample_weight=weights)
    assert parts["ensemble_loss"] == pytest.approx(
        log_loss(y, mean, sample_weight=weights, labels=range(3))
    )
    found = {m: diversity(probas, y, m, sample_weight=weights) for m in MEASURES}
    assert found["jensen_gap"] == pytest.approx(parts["diversity"])
    brier = diversity_decomposition(probas, y, loss="brier", sample_weight=weights)
    assert found["variance"] == pytest.approx(brier["diversity"])
    by_row = diversity(probas, measure="jsd", per_row=True)
    expected = np.mean([entropy(p, mean, axis=1) for p in probas], axis=0)
    np.testing.assert_allclose(by_row, expected, atol=1e-12)
    assert (by_row <= np.log(4) + 1e-12).all()
    others = [np.delete(probas, i, axis=0).mean(axis=0) for i in range(4)]
    pairs = list(zip(probas, others, strict=True))
    expected = np.mean([jensenshannon(p, q, axis=1) ** 2 for p, q in pairs], axis=0)
    one = diversity(probas, measure="jsd_one_vs_all", per_row=True)
    np.testing.assert_allclose(one, expected, atol=1e-9)
    clipped = [(np.clip(p, 1e-6, None), np.clip(q, 1e-6, None)) for p, q in pairs]
    expected = np.mean([(p * np.log(p / q)).sum(axis=1) for p, q in clipped], axis=0)
    kl = diversity(probas, measure="one_vs_all", per_row=True)
    np.testing.assert_allclose(kl, expected, atol=1e-9)
    two = probas[:2]
    assert diversity(two, measure="jsd") == pytest.approx(
        diversity(two, measure="jsd_one_vs_all")
    )


@given(seed=seeds, measure=st.sampled_from(MEASURES))
def test_copies_do_not_differ_and_doubled_members_differ_as_much(seed, measure):
    probas, y, _ = draw(seed)
    copies = np.repeat(probas[:1], 3, axis=0)
    assert diversity(copies, y, measure) == pytest.approx(0, abs=1e-12)
    if measure in ("jensen_gap", "variance", "jsd"):
        twice = np.concatenate([probas, probas])
        assert diversity(twice, y, measure) == pytest.approx(
            diversity(probas, y, measure)
        )
    swapped = diversity(probas[..., ::-1], 2 - y, measure)
    assert swapped == pytest.approx(diversity(probas, y, measure))
    rows = np.repeat(np.arange(7), 2)
    weighted = diversity(probas, y, measure, sample_weight=np.full(7, 2.0))
    assert weighted == pytest.approx(diversity(probas[:, rows], y[rows], measure))


def test_squared_errors_split_into_ambiguity(rng):
    predictions, y = rng.normal(size=(5, 20)), rng.normal(size=20)
    parts = diversity_decomposition(predictions, y, loss="squared_error")
    assert parts["ensemble_loss"] == pytest.approx(
        np.mean((predictions.mean(0) - y) ** 2)
    )
    assert parts["diversity"] == pytest.approx(predictions.var(axis=0).mean())
    assert diversity(predictions) == pytest.approx(parts["diversity"])
    assert diversity(predictions, measure="jsd") == pytest.approx(parts["diversity"])


def test_a_forest_has_a_place_in_the_plane():
    X, y = load_iris(return_X_y=True)
    forest = RandomForestClassifier(10, max_depth=2, random_state=0).fit(X, y)
    probas = np.stack([tree.predict_proba(X) for tree in forest.estimators_])
    with pytest.warns(UserWarning, match="probabilities of the true class are 0"):
        parts = diversity_decomposition(probas, y)
    assert parts["ensemble_loss"] == pytest.approx(log_loss(y, forest.predict_proba(X)))
    assert parts["diversity"] > 0


@given(seed=seeds, loss=st.sampled_from(["log_loss", "brier", "zero_one"]))
def test_subsets_are_ensembles_of_their_members(seed, loss):
    probas, y, _ = draw(seed, n_members=5)
    report = subset_report(probas, y, loss=loss, subset_size=2)
    assert len(report["ensemble_loss"]) == 10
    first = diversity_decomposition(probas[:2], y, loss=loss)
    for name in ("ensemble_loss", "average_loss", "diversity"):
        assert report[name][0] == pytest.approx(first[name])
    some = subset_report(probas, y, loss=loss, n_subsets=4, random_state=0)
    assert len(some["diversity"]) == 4
    whole = subset_report(probas, y, loss=loss, subset_size=5)
    assert np.isnan(whole["rank_diversity"]) and np.isnan(whole["opportunity_cost"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p, y: diversity(p, y, "gap"), "measure must be one of"),
        (lambda p, y: diversity(p), "needs y, which was not given"),
        (lambda p, y: diversity(p, y + 2), "y must be from 0 to 2, got 2"),
        (lambda p, y: diversity(p, y[:3]), "y must be 7 integers"),
        (lambda p, y: diversity(2 * p, y), "sum to 1 over the classes"),
        (lambda p, y: diversity(-p, y), "at least 0"),
        (lambda p, y: diversity(p[0, 0], y), "probas must have shape"),
        (lambda p, y: diversity(p * np.nan, y), "probas contains NaN"),
        (lambda p, y: diversity_decomposition(p, y, loss="hinge"), "loss must be one of"),
        (lambda p, y: diversity_decomposition(p, y, loss="brier", combine="logit"),
         "combine='logit' is for loss='log_loss' only"),
        (lambda p, y: diversity_decomposition(p, y, loss="squared_error"),
         "does not go with probas of 3 dimensions"),
        (lambda p, y: subset_report(p, y, subset_size=9), "from 1 to the 4 members, got 9"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(call, message):
    probas, y, _ = draw(0)
    with pytest.raises(ValueError, match=message):
        call(probas, y % 3)


torch = pytest.importorskip("torch")


@given(seed=seeds, measure=st.sampled_from(MEASURES), sharp=st.sampled_from([1.0, 8.0]))
def test_tensors_give_the_same_with_right_gradients(seed, measure, sharp):
    rng = np.random.default_rng(seed)
    logits = torch.tensor(sharp * rng.normal(size=(3, 4, 3)), requires_grad=True)
    y = torch.tensor(rng.integers(0, 3, 4))
    value = diversity(logits.softmax(-1), y, measure)
    ours = diversity(logits.detach().softmax(-1).numpy(), y.numpy(), measure)
    assert float(value.detach()) == pytest.approx(ours, abs=1e-12)
    assert torch.autograd.gradcheck(
        lambda z: diversity(z.softmax(-1), y, measure), logits, atol=1e-5
    )
    parts = diversity_decomposition(logits.softmax(-1), y)
    assert parts["member_losses"].requires_grad


def small(**parameters):
    from minimalml.neural_network import Training

    options = dict(
        hidden_layer_sizes=(6,), max_epochs=5, batch_size=20, learning_rate=0.01,
        training=Training(dtype="float64"), random_state=0,
    )  # fmt: skip
    return DiversityRegularizedClassifier(**dict(n_members=3) | options | parameters)


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(X), y


def test_without_a_push_members_are_networks_trained_alone(iris):
    from minimalml._core.training.loop import train

    X, y = iris
    joint = small().fit(X, y)
    seeds = np.random.RandomState(0).randint(2**31 - 1, size=4)
    start = small(max_epochs=1, learning_rate=1e-300).fit(X, y).module_

    def step(batch, state):
        return torch.nn.functional.cross_entropy(state.network(batch.X), batch.y)

    for number in range(3):
        network = start.member(number)
        train(step, network, {"X": X, "y": y}, max_epochs=5, batch_size=20,
              learning_rate=0.01, dtype="float64", order_seed=int(seeds[2]))  # fmt: skip
        ours = joint.module_.member(number).state_dict()
        for name, values in network.state_dict().items():
            np.testing.assert_allclose(ours[name], values, atol=1e-6)
    again = small().set_params(gamma=np.float64(0.0)).fit(X, y)  # as a search has it
    np.testing.assert_array_equal(again.predict_proba(X), joint.predict_proba(X))
    assert joint.predict_proba(X).max() <= 1


@pytest.mark.parametrize("combine", ["probability", "logit"])
def test_gamma_one_is_the_loss_of_the_ensemble(iris, combine):
    X, y = iris
    model = small(gamma=1.0, combine=combine).fit(X, y)
    gradients = []
    for objective in ("joint", "ensemble"):
        model.module_.zero_grad()
        batch = type(
            "Batch", (), dict(X=torch.tensor(X), y=torch.tensor(y), weight=None)
        )
        if objective == "joint":
            model._sums = {}
            state = type("State", (), dict(network=model.module_, epoch=0))
            loss = model._training_loss(batch, state)
        else:
            logs = model.module_(batch.X).log_softmax(-1)
            mean = logs.mean(0) if combine == "logit" else logs.exp().mean(0).log()
            loss = 3 * torch.nn.functional.nll_loss(mean.log_softmax(-1), batch.y)
        loss.backward()
        gradients.append(
            torch.cat([p.grad.ravel() for p in model.module_.parameters()])
        )
    torch.testing.assert_close(*gradients, atol=1e-7, rtol=1e-7)


def test_predictions_combine_members_and_curves_tell_them_apart(iris):
    X, y = iris
    apart, together = (small(gamma=g, max_epochs=30).fit(X, y) for g in (0.9, -2.0))
    members = apart.member_predict_proba(X)
    np.testing.assert_allclose(members.mean(axis=0), apart.predict_proba(X), atol=1e-12)
    assert len(apart.diversity_curve_) == len(apart.loss_curve_) == 30
    assert apart.diversity_curve_[-1] > together.diversity_curve_[-1] >= 0
    expected = np.subtract(
        apart.member_loss_curve_, np.multiply(0.9, apart.diversity_curve_)
    )
    np.testing.assert_allclose(apart.loss_curve_, expected, rtol=1e-6)
    logit = small(combine="logit").fit(X, y)
    mean = np.log(logit.member_predict_proba(X)).mean(axis=0)
    expected = np.exp(mean) / np.exp(mean).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(logit.predict_proba(X), expected, atol=1e-12)
    stopped = small(early_stopping=True, max_epochs=200, learning_rate=0.05).fit(X, y)
    assert stopped.n_iter_ < 200
    warm = small(warm_start=True).fit(X, y).fit(X, y)
    assert len(warm.member_loss_curve_) == warm.n_iter_ == 10
    bags = small(bootstrap=True).fit(X, y)
    assert bags.diversity_curve_[-1] != small().fit(X, y).diversity_curve_[-1]


def test_regression_with_gamma_one_descends_the_ensembles_squared_error(rng):
    from minimalml.neural_network import Training

    X = rng.normal(size=(40, 3))
    y = X @ [1.0, 2.0, 3.0] + rng.normal(size=40)
    model = DiversityRegularizedRegressor(
        4, gamma=1.0, hidden_layer_sizes=(), batch_size=40, max_epochs=60,
        learning_rate=0.05, random_state=0,
        training=Training(optimizer="sgd", dtype="float64", gradient_clip=1e9),
    )  # fmt: skip
    model.fit(X, y)
    start = model.set_params(max_epochs=1, learning_rate=1e-300).fit(X, y).module_
    W, b = (p.detach().mean(0).numpy() for p in start.parameters())
    target, velocity = (y - y.mean()) / y.std(), np.zeros(4)
    theta = np.r_[W[:, 0], b[0]]
    Z = np.column_stack([X, np.ones(40)])
    for _ in range(60):
        gradient = 2 * Z.T @ (Z @ theta - target) / 40
        velocity = 0.9 * velocity + gradient
        theta = theta - 0.05 * (gradient + 0.9 * velocity)
    model.set_params(max_epochs=60, learning_rate=0.05).fit(X, y)
    expected = (Z @ theta) * y.std() + y.mean()
    np.testing.assert_allclose(model.predict(X), expected, atol=1e-6)
    np.testing.assert_allclose(model.member_predict(X).mean(axis=0), model.predict(X))


def test_search_over_the_push_in_a_pipeline():
    X, y = load_digits(return_X_y=True)
    model = DiversityRegularizedClassifier(
        2, hidden_layer_sizes=(8,), max_epochs=30, learning_rate=0.02, random_state=0
    )
    pipeline = make_pipeline(StandardScaler(), model)
    grid = {"diversityregularizedclassifier__gamma": [-0.5, 0.9]}
    search = GridSearchCV(pipeline, grid, cv=2, scoring="neg_log_loss").fit(
        X[:300], y[:300]
    )
    assert search.score(X[300:600], y[300:600]) > -2


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            dict(gamma=1.1),
            "gamma must be at most 1 with diversity='jensen_gap', got 1.1",
        ),
        (dict(n_members=0), "'n_members' parameter"),
        (dict(diversity="gap"), "'diversity' parameter"),
        (dict(gamma=np.inf), "'gamma' parameter"),
        (dict(hidden_layer_sizes=(0,)), "hidden_layer_sizes must be integers"),
    ],
)
def test_bad_parameters_are_refused(iris, parameters, message):
    X, y = iris
    with pytest.raises(ValueError, match=message):
        small(**parameters).fit(X, y)
    with pytest.raises(ValueError, match="gamma must be at most 1, got 2"):
        DiversityRegularizedRegressor(gamma=2).fit(X, y)
    with pytest.raises(ValueError, match="1 class"):
        small().fit(X, np.zeros(150))


def test_pushes_that_change_nothing_or_may_diverge_are_told(iris):
    X, y = iris
    with pytest.warns(UserWarning, match="n_members=1 has no diversity"):
        small(n_members=1, gamma=0.5, max_epochs=1).fit(X, y)
    with pytest.warns(UserWarning, match="may not converge"):
        small(diversity="one_vs_all", gamma=1.5, max_epochs=1).fit(X, y)
    small(diversity="variance", gamma=4.0, max_epochs=1).fit(X, y)
