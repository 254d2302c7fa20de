"""Features of five networks beside their predictions, and fits beside fits in turn."""

import warnings
from functools import partial

from sklearn.datasets import make_classification
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import FeatureUnion
from sklearn.preprocessing import FunctionTransformer

from benchmarks.compare import Comparison
from minimalml.ensemble import ConcatenatedRepresentation, hidden_representation

# the number of passes is set
warnings.filterwarnings("ignore", category=ConvergenceWarning)
N_NETWORKS = 5
NETWORK = MLPClassifier((64, 32), batch_size=64, max_iter=5)


def rows(n, seed=0):
    return make_classification(n, 64, n_informative=20, n_classes=10, random_state=seed)


def representation(n_jobs=None):
    return ConcatenatedRepresentation(
        NETWORK, N_NETWORKS, n_jobs=n_jobs, random_state=0
    )


def fitted(n):
    """Return rows, and networks that were fitted to a few others."""
    return rows(n)[0], representation().fit(*rows(500, seed=1))


def transform(data):
    X, model = data
    model.transform(X)


def predict(data):
    X, model = data
    for network in model.estimators_:
        network.predict(X)


def feature_union(data):
    X, model = data
    layers = [
        FunctionTransformer(partial(hidden_representation, network))
        for network in model.estimators_
    ]
    FeatureUnion(
        [(f"network{i}", layer) for i, layer in enumerate(layers)]
    ).fit_transform(X)


def fit_two_at_a_time(data):
    representation(n_jobs=2).fit(*data)


def fit_in_turn(data):
    representation().fit(*data)


def fit_voting_two_at_a_time(data):
    members = [
        (f"n{i}", MLPClassifier(**NETWORK.get_params())) for i in range(N_NETWORKS)
    ]
    VotingClassifier(members, voting="soft", n_jobs=2).fit(*data)


def fit_one_of_equal_size(data):
    """Fit one network of five times the weights."""
    options = {**NETWORK.get_params(), "hidden_layer_sizes": (195, 98)}
    MLPClassifier(**options).fit(*data)


COMPARISONS = [
    Comparison(
        title=f"features of {N_NETWORKS} networks for n rows of 64",
        setup=fitted,
        ours=transform,
        peers={"their predictions": predict, "FeatureUnion": feature_union},
        sizes=(1000, 10_000, 100_000),
        threads=(1,),
        target="1.2 times the predictions",
    ),
    Comparison(
        title=f"fit of {N_NETWORKS} networks to n rows, 5 epochs, n_jobs=2",
        setup=rows,
        ours=fit_two_at_a_time,
        peers={
            "n_jobs=1": fit_in_turn,
            "VotingClassifier, n_jobs=2": fit_voting_two_at_a_time,
            "one of equal size": fit_one_of_equal_size,
        },
        sizes=(2000, 16_000),
        threads=(1,),
        repeats=2,
        target="0.65 of the time of n_jobs=1 on two free cores",
    ),
]
