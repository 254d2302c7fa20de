"""What training does: how many directions it needs, and where it goes.

`IntrinsicDimension` measures how many numbers a task needs of a network, or a fine-tuned
one; `SubspaceClassifier` trains, stores and quantises just so many, `subspace_module` does
so in a loop of your own, and `generalization_bound` says what that promises.
`FastfoodProjection` and `fast_walsh_hadamard` are the random maps behind them.
"""

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

__all__ = [
    "FastfoodProjection",
    "IntrinsicDimension",
    "SubspaceClassifier",
    "fast_walsh_hadamard",
    "generalization_bound",
    "subspace_module",
]
