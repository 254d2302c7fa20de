"""Small networks, and how those of every family train.

`Training` holds the settings that few change, such as optimiser and schedule; all
estimators with a network, of any family, take one as ``training``.
"""

from minimalml._core.training.settings import Training

__all__ = ["Training"]
