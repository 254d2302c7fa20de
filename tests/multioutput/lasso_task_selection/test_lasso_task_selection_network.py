"""The active loop with a torch network as the representation."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

from minimalml.multioutput import (
    ActiveMultiTaskClassifier,
    ActiveMultiTaskRegressor,
    make_low_rank_tasks,
)

torch = pytest.importorskip("torch")
FLOAT32_TOLERANCE = 1e-4


def network(n_features=8, n_components=3, width=16):
    torch.manual_seed(0)
    layers = torch.nn.Linear(n_features, width), torch.nn.ReLU()
    return torch.nn.Sequential(*layers, torch.nn.Linear(width, n_components))


@pytest.fixture(scope="module")
def pool():
    return make_low_rank_tasks(12, 8, 3, 2, random_state=0, n_samples=150)


def model_for(cls=ActiveMultiTaskRegressor, representation=None, **parameters):
    defaults = {"n_components": 3, "budget": 900, "random_state": 0}
    return cls(
        representation=network() if representation is None else representation,
        **(defaults | parameters),
    )


def test_a_linear_layer_learns_what_the_linear_representation_does(pool):
    X, y, tasks, truth = pool
    layer = torch.nn.Linear(8, 3, bias=False)
    model = model_for(representation=layer, learning_rate=0.05, max_epochs=20).fit(
        X, y, tasks=tasks
    )
    weights = model.representation_.weight.detach().numpy().T @ model.target_head_[:, 0]
    np.testing.assert_allclose(weights, truth.basis @ truth.target_head, atol=0.15)


def test_a_network_sees_what_is_not_linear(pool):
    X, _, tasks, truth = pool
    curved = np.abs(X @ truth.basis)  # (n, 3), shared by all tasks
    heads = np.column_stack([truth.heads, truth.target_head])
    y = np.einsum("nk,kn->n", curved, heads[:, tasks])
    target = tasks == 12
    model = model_for(max_epochs=40, learning_rate=0.02).fit(X, y, tasks=tasks)
    linear = ActiveMultiTaskRegressor(3, budget=900, random_state=0).fit(X, y, tasks)
    assert model.score(X[target], y[target]) > 0.7 > linear.score(X[target], y[target])


def test_the_target_head_is_least_squares_on_the_features(pool):
    X, y, tasks, _ = pool
    model = model_for(max_epochs=3).fit(X, y, tasks=tasks)
    target = tasks == 12
    with torch.no_grad():
        Z = model.representation_(torch.tensor(X[target], dtype=torch.float32)).numpy()
    design = np.column_stack([Z, np.ones(len(Z))])
    expected = design @ np.linalg.lstsq(design, y[target], rcond=None)[0]
    np.testing.assert_allclose(
        model.predict(X[target]), expected, atol=FLOAT32_TOLERANCE
    )


@pytest.mark.parametrize("n_classes", [2, 3])
def test_classifier_with_a_network(pool, n_classes):
    X, y, tasks, _ = pool
    edges = np.quantile(y, np.linspace(0, 1, n_classes + 1)[1:-1])
    labels, target = np.searchsorted(edges, y), tasks == 12
    model = model_for(ActiveMultiTaskClassifier, learning_rate=0.01)
    model.fit(X, labels, tasks=tasks)
    assert model.score(X[target], labels[target]) > (0.7 if n_classes == 2 else 0.5)


def test_fits_repeat_pickle_and_leave_the_given_network_alone(pool):
    X, y, tasks, _ = pool
    given = network()
    before = [p.detach().clone() for p in given.parameters()]
    model = model_for(representation=given, max_epochs=3).fit(X, y, tasks=tasks)
    again = clone(model).fit(X, y, tasks=tasks)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    restored = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(restored.predict(X), model.predict(X))
    assert all(
        torch.equal(a, b) for a, b in zip(before, given.parameters(), strict=True)
    )
    assert not hasattr(model, "coef_")


def test_without_reuse_and_without_sources(pool):
    X, y, tasks, _ = pool
    model = model_for(max_epochs=3, reuse_data=False).fit(X, y, tasks=tasks)
    assert model.n_samples_spent_ == 900
    alone = model_for(max_epochs=3).fit(X.astype(np.float32), y)
    assert alone.predict(X.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("view", [np.s_[::-1], np.s_[:, ::-1], np.s_[::2]])
def test_views_of_rows_are_rows(pool, view):
    X, y, tasks, _ = pool
    X = np.asfortranarray(X)[view]
    rows = slice(None, None, 2) if len(X) < len(y) else slice(None)
    fits = [
        model_for(max_epochs=1, budget=300).fit(array, y[rows], tasks=tasks[rows])
        for array in (X, np.ascontiguousarray(X))
    ]
    np.testing.assert_array_equal(fits[0].predict(X), fits[1].predict(X))


def test_a_network_of_the_wrong_width_is_named(pool):
    X, y, tasks, _ = pool
    with pytest.raises(ValueError, match="must give n_components=3 features a row"):
        model_for(representation=network(n_components=5)).fit(X, y, tasks=tasks)
    with pytest.raises(ValueError, match="The 'representation' parameter"):
        model_for(representation="mlp").fit(X, y, tasks=tasks)
