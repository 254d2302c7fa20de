"""Get more out of several models than the best of them gives.

`ModelSoupClassifier` and `ModelSoupRegressor` stand where a search stands: they train the
same candidates, all from one start, and average their weights into one model.
`average_weights`, `interpolate_weights` and `greedy_soup` do so with models at hand.
"""

from minimalml.ensemble._model_soup._averages import (
    average_weights,
    interpolate_weights,
)
from minimalml.ensemble._model_soup._ensemble_gap import soup_ensemble_gap
from minimalml.ensemble._model_soup._greedy_soup import SoupResult, greedy_soup
from minimalml.ensemble._model_soup._model_soup import (
    ModelSoupClassifier,
    ModelSoupRegressor,
)

__all__ = [
    "ModelSoupClassifier",
    "ModelSoupRegressor",
    "SoupResult",
    "average_weights",
    "greedy_soup",
    "interpolate_weights",
    "soup_ensemble_gap",
]
