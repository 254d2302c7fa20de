"""What training does to networks: what moves, when, and where it ends.

`LazyRichRegressor` trains a network as lazily as one says and watches its kernel;
`simulate_lazy_rich` is the paper's model of it, and `detect_grokking` says of any two curves
whether the test loss fell late. `InfiniteWidthRegressor` predicts what infinitely wide networks
learn, and `PermutationEnsemble` how many of them permute bits without an error.
"""

from minimalml.training_dynamics._grokking._curves import detect_grokking
from minimalml.training_dynamics._grokking._grokking import (
    LazyRichHistory,
    simulate_lazy_rich,
)
from minimalml.training_dynamics._grokking._lazy_rich_regressor import (
    LazyRichRegressor,
)
from minimalml.training_dynamics._grokking._tangent_kernel import (
    empirical_ntk,
    kernel_target_alignment,
)
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
    "LazyRichHistory",
    "LazyRichRegressor",
    "PermutationEnsemble",
    "detect_grokking",
    "empirical_ntk",
    "kernel_target_alignment",
    "ntk_ensemble_moments",
    "permutation_ensemble_size",
    "permutation_moments",
    "relu_kernels",
    "simulate_lazy_rich",
]
