"""What training does to networks: what moves, when, in how many directions, and to what end.

`IntrinsicDimension` measures how many numbers a task needs of a network, and
`SubspaceClassifier` trains and stores just so many. `LazyRichRegressor` trains a network as
lazily as one says and watches its kernel; `detect_grokking` says of any two curves whether the
test loss fell late. `InfiniteWidthRegressor` predicts what infinitely wide networks learn, and
`PermutationEnsemble` how many of them permute bits without an error.
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
from minimalml.training_dynamics._intrinsic_dimension._fastfood import (
    FastfoodProjection,
)
from minimalml.training_dynamics._intrinsic_dimension._generalization_bound import (
    generalization_bound,
)
from minimalml.training_dynamics._intrinsic_dimension._intrinsic_dimension import (
    IntrinsicDimension,
)
from minimalml.training_dynamics._intrinsic_dimension._subspace_classifier import (
    SubspaceClassifier,
)
from minimalml.training_dynamics._intrinsic_dimension._subspace_module import (
    subspace_module,
)
from minimalml.training_dynamics._intrinsic_dimension._walsh_hadamard import (
    fast_walsh_hadamard,
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
    "FastfoodProjection",
    "InfiniteWidthRegressor",
    "IntrinsicDimension",
    "LazyRichHistory",
    "LazyRichRegressor",
    "PermutationEnsemble",
    "SubspaceClassifier",
    "detect_grokking",
    "empirical_ntk",
    "fast_walsh_hadamard",
    "generalization_bound",
    "kernel_target_alignment",
    "ntk_ensemble_moments",
    "permutation_ensemble_size",
    "permutation_moments",
    "relu_kernels",
    "simulate_lazy_rich",
    "subspace_module",
]
