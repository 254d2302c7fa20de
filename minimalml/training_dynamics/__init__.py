"""What training does: how many directions it needs, and where it goes.

`IntrinsicDimension` measures how many numbers a task needs of a network, or a pretrained
one; `SubspaceClassifier` trains, stores and quantises just so many, `subspace_module` does
so in a loop of your own, `generalization_bound` says what that promises.
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
