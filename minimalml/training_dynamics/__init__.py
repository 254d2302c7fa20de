"""How networks learn over time: what moves, and when.

`LazyRichRegressor` trains a network as lazily as one says and watches its kernel;
`simulate_lazy_rich` is the paper's model of it, exact and fast. `detect_grokking` says of any
two curves whether the test loss fell long after the training loss; `empirical_ntk` and
`kernel_target_alignment` say whether a network's features go with a target.
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

__all__ = [
    "LazyRichHistory",
    "LazyRichRegressor",
    "detect_grokking",
    "empirical_ntk",
    "kernel_target_alignment",
    "simulate_lazy_rich",
]
