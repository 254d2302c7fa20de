"""Move one distribution onto another.

`sparse_transport` gives each target few sources. `SparseTransportMapper` moves rows so, and
`LightSchrodingerBridge` also says where else a row may end, and shows the way there.
`TransportedEstimator` learns from rows that a mapper moved: domain adaptation.
`sparse_transport_routing` deals tokens to experts.
"""

from minimalml.transport._light_bridge._gaussian_map import gaussian_entropic_map
from minimalml.transport._light_bridge._light_bridge import LightSchrodingerBridge
from minimalml.transport._light_bridge._potential import light_bridge_loss
from minimalml.transport._sparse_transport._mapper import SparseTransportMapper
from minimalml.transport._sparse_transport._projection import project_sparse_simplex
from minimalml.transport._sparse_transport._routing import sparse_transport_routing
from minimalml.transport._sparse_transport._sparse_transport import (
    semi_dual_objective,
    sparse_transport,
)
from minimalml.transport._transported import TransportedEstimator

__all__ = [
    "LightSchrodingerBridge",
    "SparseTransportMapper",
    "TransportedEstimator",
    "gaussian_entropic_map",
    "light_bridge_loss",
    "project_sparse_simplex",
    "semi_dual_objective",
    "sparse_transport",
    "sparse_transport_routing",
]
