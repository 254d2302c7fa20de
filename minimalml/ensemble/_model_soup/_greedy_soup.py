"""The greedy soup: best model first, each further one only if it helps.

Wortsman et al., "Model soups", ICML 2022, recipe 1.
"""

import warnings
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from minimalml.ensemble._model_soup._averages import (
    WeightSum,
    alike_states,
    has_nan,
    state_writer,
)

ACCEPT = {"not_worse", "better"}


class SoupResult(NamedTuple):
    """What `greedy_soup` found.

    Parameters
    ----------
    weights : mapping, list, torch.nn.Module or estimator
        The soup, of the kind of the first model.

    ingredients : list of int
        Models in it, in the order in which they were added.

    candidate_scores : ndarray of shape (n_models,)
        Of each model alone; NaN of those that diverged.

    soup_scores : ndarray of shape (n_soups,)
        Of the best model, and of each soup that was tried.

    n_evaluations : int
        Calls of ``score``.
    """

    weights: Any
    ingredients: list
    candidate_scores: np.ndarray
    soup_scores: np.ndarray
    n_evaluations: int


def greedy_soup(models, score, *, accept="not_worse"):
    """Average the models that raise a validation score, tried best first.

    For the candidates of a sweep that all started from one model. The soup never scores
    below the best of them on the validation rows. Takes ``2 n_models - 1`` calls of
    ``score``, and the memory of two models in float64 beside those given.

    Parameters
    ----------
    models : sequence of mappings or lists of arrays, torch modules or fitted estimators
        As in `average_weights`.

    score : callable
        ``score(model) -> float``, greater is better, of an object of the kind of the
        first model. Estimators and modules that are tried are one object with other
        weights at each call.

    accept : {"not_worse", "better"} or float, default="not_worse"
        Which soups replace the present one: those that score at least as much, as in the
        paper; more, as in the authors' code; or less by no more than a number.

    Returns
    -------
    SoupResult
        The soup, what is in it, and how all that was tried scored.

    Raises
    ------
    ValueError
        If models are not alike, see `average_weights`, all hold NaN or score NaN, or
        ``accept`` is none of the above.

    See Also
    --------
    ModelSoupClassifier : Trains the models as well.

    References
    ----------
    .. [1] M. Wortsman et al., "Model soups: averaging weights of multiple fine-tuned
       models improves accuracy without increasing inference time", ICML 2022.
       arXiv:2203.05482

    Examples
    --------
    >>> import numpy as np
    >>> from minimalml.ensemble import greedy_soup
    >>> models = [[np.array([0.0])], [np.array([2.0])], [np.array([9.0])]]
    >>> soup = greedy_soup(models, lambda model: -abs(model[0][0] - 1))
    >>> soup.weights, soup.ingredients, soup.n_evaluations
    ([array([1.])], [0, 1], 5)
    """
    check_accept(accept)
    states, write = alike_states(models), state_writer(models[0])
    is_sound = [not has_nan(state) for state in states]
    scores = np.array(
        [
            float(score(model)) if sound else np.nan
            for model, sound in zip(models, is_sound, strict=True)
        ]
    )
    warn_of_diverged(scores, "models")
    state, ingredients, soup_scores = grow_soup(
        states, best_first(scores), scores, lambda state: score(write(state)), accept
    )
    return SoupResult(
        weights=write(state),
        ingredients=ingredients,
        candidate_scores=scores,
        soup_scores=soup_scores,
        n_evaluations=sum(is_sound) + len(soup_scores) - 1,
    )


def best_first(scores):
    """Return the numbers of all that have a score, best first, ties as they come."""
    order = np.argsort(-scores, kind="stable")  # NaN last
    return order[: np.count_nonzero(~np.isnan(scores))].tolist()


def grow_soup(states, order, scores, score, accept):
    """Return the soup's state, its ingredients and the scores of what was tried.

    ``order`` may be any iterable, which is asked for the next when it is tried.
    """
    order = iter(order)
    ingredients = [next(order)]
    best = scores[ingredients[0]]
    soup_scores, total = [best], WeightSum(states[ingredients[0]])
    total.add(states[ingredients[0]])
    for number in order:
        soup_scores.append(
            float(score(total.mean(len(ingredients) + 1, states[number])))
        )
        if _is_accepted(soup_scores[-1], best, accept):
            total.add(states[number])
            ingredients.append(number)
            best = soup_scores[-1]
    return total.mean(len(ingredients)), ingredients, np.array(soup_scores)


def _is_accepted(score, best, accept):
    if accept == "better":
        return score > best
    return score >= best - (0.0 if accept == "not_worse" else accept)


def check_accept(accept):
    """Raise if ``accept`` is neither a rule nor a number of at least 0."""
    is_number = isinstance(accept, Real) and accept >= 0
    if not is_number and accept not in ACCEPT:
        raise ValueError(
            "accept must be 'not_worse', 'better' or a number of at least 0, got "
            f"{accept!r}."
        )


def warn_of_diverged(scores, name):
    """Warn once of models whose score is NaN; raise if there are no others."""
    diverged = np.flatnonzero(np.isnan(scores)).tolist()
    if len(diverged) == len(scores):
        raise ValueError(f"all {len(scores)} {name} diverged: no score is a number.")
    if diverged:
        warnings.warn(
            f"{name} {diverged} diverged, their score is NaN: they are left out.",
            RuntimeWarning,
            stacklevel=3,
        )
