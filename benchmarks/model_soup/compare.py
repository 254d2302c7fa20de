"""A soup beside what one would use instead: a search, a vote, and the authors' loop.

The peers are scikit-learn's GridSearchCV and VotingClassifier, torch's AveragedModel,
and the greedy loop of the authors' scripts, which rescales a dictionary of weights.
"""

import pickle
import warnings
from functools import partial

import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, StratifiedShuffleSplit
from sklearn.neural_network import MLPClassifier

from benchmarks.compare import Comparison
from minimalml._core.models.prefit import copy_of_trained
from minimalml._core.models.weights import model_weights, set_model_weights
from minimalml.ensemble import ModelSoupClassifier, average_weights, greedy_soup

N_MODELS = 24
RATES = {"learning_rate_init": np.geomspace(1e-4, 1e-2, 8).tolist()}


def digits_of(n):
    """Return ``n`` digits, drawn with replacement, with a little noise."""
    rng = np.random.default_rng(0)
    images, labels = load_digits(return_X_y=True)
    rows = rng.integers(len(labels), size=n)
    return images[rows] / 16 + 0.1 * rng.normal(size=(n, 64)), labels[rows]


def network(**options):
    return MLPClassifier((128, 128), max_iter=8, **options)


def fine_tuned(n):
    """Return 24 networks that go on from one, and n rows to validate on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        X, y = digits_of(400)
        start = (
            network(random_state=0).fit(X, y).set_params(warm_start=True, max_iter=1)
        )
        models = []
        for seed in range(N_MODELS):
            model = copy_of_trained(start).set_params(random_state=seed)
            models.append(model.fit(X, y))
    return models, *digits_of(n)


def score_of(X, y):
    return lambda model: -log_loss(y, model.predict_proba(X))


def greedy(data):
    models, X, y = data
    greedy_soup(models, score_of(X, y))


def scorings_alone(data):
    """As many scorings as greedy does, of models at hand."""
    models, X, y = data
    score = score_of(X, y)
    for model in [*models, *models[1:]]:
        score(model)


def authors_loop(data):
    """Do as the official script, which scales the present soup by s / (s + 1)."""
    models, X, y = data
    score, work = score_of(X, y), copy_of_trained(models[0])
    scores = [score(model) for model in models]
    order = np.argsort(scores)[::-1]
    states = [model_weights(models[i]) for i in order]
    soup, size, best = states[0], 1, scores[order[0]]
    for state in states[1:]:
        trial = {
            name: soup[name] * (size / (size + 1)) + state[name] * (1 / (size + 1))
            for name in soup
        }
        value = score(set_model_weights(work, trial))
        if value > best:
            soup, size, best = trial, size + 1, value


def weights_of(n):
    """Return 24 mappings of n float32 weights."""
    rng = np.random.default_rng(0)
    return [{"w": rng.random(n, dtype=np.float32)} for _ in range(N_MODELS)]


def mean_of_stack(models):
    return {"w": np.mean([model["w"] for model in models], axis=0)}


def averaged_by_torch(models):
    import torch
    from torch.optim.swa_utils import AveragedModel

    module = torch.nn.ParameterDict(
        {"w": torch.nn.Parameter(torch.from_numpy(models[0]["w"]))}
    )
    averaged = AveragedModel(module)
    for model in models:
        module["w"].data = torch.from_numpy(model["w"])
        averaged.update_parameters(module)


def fitted_to_predict(n):
    """Return the soup and the vote of 24 fitted networks, and n rows."""
    models, X, y = fine_tuned(n)
    members = [(str(i), FrozenEstimator(model)) for i, model in enumerate(models)]
    vote = VotingClassifier(members, voting="soft").fit(X[:100], y[:100])
    return {"soup": average_weights(models), "vote": vote, "one": models[0]}, X


def predict(data, who):
    models, X = data
    models[who].predict_proba(X)


def fit_quietly(data, model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model().fit(*data)


def soup_of_rates():
    return ModelSoupClassifier(network(), RATES, n_candidates=8, random_state=0)


def search_of_rates():
    """Search the same candidates on one part that is held out, and fit the best again."""
    split = StratifiedShuffleSplit(1, test_size=0.2, random_state=0)
    return GridSearchCV(
        network(random_state=0), RATES, cv=split, scoring="neg_log_loss"
    )


def print_bytes():
    """Print what is kept to predict with."""
    models, _ = fitted_to_predict(200)
    size = {name: len(pickle.dumps(model)) for name, model in models.items()}
    print(
        f"pickled: soup {size['soup'] / 1e6:.2f} MB, vote {size['vote'] / 1e6:.2f} MB, "
        f"{size['vote'] / size['soup']:.1f} times as much"
    )


COMPARISONS = [
    Comparison(
        title=f"Greedy soup of {N_MODELS} networks on n validation rows",
        setup=fine_tuned,
        ours=greedy,
        peers={"47 scorings alone": scorings_alone, "the authors' loop": authors_loop},
        sizes=(300, 3_000, 15_000),
        threads=(1,),
        target="at most 1.3 times the scorings alone",
    ),
    Comparison(
        title=f"Average of {N_MODELS} models of n float32 weights",
        setup=weights_of,
        ours=average_weights,
        peers={"np.mean of a list": mean_of_stack, "AveragedModel": averaged_by_torch},
        sizes=(10_000, 300_000, 3_000_000),
        threads=(1,),
        target="no slower than a stack for large models, in the memory of three",
    ),
    Comparison(
        title=f"Probabilities of n rows by what {N_MODELS} networks became",
        setup=fitted_to_predict,
        ours=partial(predict, who="soup"),
        peers={
            "one network": partial(predict, who="one"),
            "VotingClassifier of all": partial(predict, who="vote"),
        },
        sizes=(300, 3_000, 30_000),
        threads=(1,),
        target="as one network",
        afterwards=print_bytes,
    ),
    Comparison(
        title="Fit of 8 learning rates to n rows, one part held out",
        setup=digits_of,
        ours=partial(fit_quietly, model=soup_of_rates),
        peers={"GridSearchCV": partial(fit_quietly, model=search_of_rates)},
        sizes=(300, 1_000, 3_000),
        threads=(1,),
        target="as a search, whose last fit is here the first",
    ),
]
