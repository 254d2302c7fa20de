"""How networks learn: what they end at, without training them.

`InfiniteWidthRegressor` predicts what infinitely wide networks learn, and how much their
random starts differ; `PermutationEnsemble` says how many of them it takes to permute bits
without an error.
"""

from minimalml.training_dynamics._permutation_learning._infinite_width import (
    InfiniteWidthRegressor,
)
from minimalml.training_dynamics._permutation_learning._kernels import (
    ntk_ensemble_moments,
    relu_kernels,
)
from minimalml.training_dynamics._permutation_learning._permutation_formulas import (
    permutation_ensemble_size,
    permutation_moments,
)
from minimalml.training_dynamics._permutation_learning._permutation_learning import (
    PermutationEnsemble,
)

__all__ = [
    "InfiniteWidthRegressor",
    "PermutationEnsemble",
    "ntk_ensemble_moments",
    "permutation_ensemble_size",
    "permutation_moments",
    "relu_kernels",
]
