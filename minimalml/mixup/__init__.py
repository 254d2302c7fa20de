"""Train on convex combinations of rows whose labels are close.

For regression with few rows, or with data that shift. Start with `CMixupRegressor`
around any regressor; `CMixup` resamples inside an imbalanced-learn pipeline; the plain
functions and `TargetKernelSampler` serve a training loop of your own.
"""

from minimalml.mixup._target_kernel import TargetKernelSampler, sample_partners

__all__ = ["TargetKernelSampler", "sample_partners"]
