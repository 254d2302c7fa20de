"""Move one distribution onto another.

`sparse_transport` gives each target few sources. `SparseTransportMapper` moves rows so, and
`TransportedEstimator` learns from rows that a mapper moved: domain adaptation.
`sparse_transport_routing` deals tokens to experts.
"""

from minimalml.transport._sparse_transport._mapper import SparseTransportMapper
from minimalml.transport._sparse_transport._projection import project_sparse_simplex
from minimalml.transport._sparse_transport._routing import sparse_transport_routing
from minimalml.transport._sparse_transport._sparse_transport import (
    semi_dual_objective,
    sparse_transport,
)
from minimalml.transport._transported import TransportedEstimator

__all__ = [
    "SparseTransportMapper",
    "TransportedEstimator",
    "project_sparse_simplex",
    "semi_dual_objective",
    "sparse_transport",
    "sparse_transport_routing",
]
