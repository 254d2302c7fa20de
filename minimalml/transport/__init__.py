"""Carry one sample of rows into another: maps, plans, and diffusions between them.

`LightSchrodingerBridge` learns where a row may end, with its spread, and the way there;
`gaussian_entropic_map` is the closed form for two Gaussians.
"""

from minimalml.transport._light_bridge._gaussian_map import gaussian_entropic_map
from minimalml.transport._light_bridge._light_bridge import LightSchrodingerBridge
from minimalml.transport._light_bridge._potential import light_bridge_loss

__all__ = [
    "LightSchrodingerBridge",
    "gaussian_entropic_map",
    "light_bridge_loss",
]
