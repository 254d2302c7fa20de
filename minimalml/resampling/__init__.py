"""Train on convex combinations of rows whose labels are close.

For regression with few or noisy rows, or with data that shift. `CMixupRegressor` goes
around any regressor; `CMixup` resamples in an imbalanced-learn pipeline; the plain
functions and `TargetKernelSampler` serve a training loop of your own.
"""

from minimalml.resampling._c_mixup._c_mixup import CMixup
from minimalml.resampling._c_mixup._c_mixup_network import CMixupMLPRegressor
from minimalml.resampling._c_mixup._c_mixup_regressor import CMixupRegressor
from minimalml.resampling._c_mixup._mixing import mix, mix_tasks
from minimalml.resampling._c_mixup._target_kernel import (
    TargetKernelSampler,
    sample_partners,
)
from minimalml.resampling._c_mixup._target_kernel_display import TargetKernelDisplay

__all__ = [
    "CMixup",
    "CMixupMLPRegressor",
    "CMixupRegressor",
    "TargetKernelDisplay",
    "TargetKernelSampler",
    "mix",
    "mix_tasks",
    "sample_partners",
]
