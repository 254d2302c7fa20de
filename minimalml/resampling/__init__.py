"""Other rows than those that came: mixed, selected, or weighed in each batch.

Few or shifting rows for regression: `CMixupRegressor`. A target sample and a budget:
`TransportCoresetSelector` selects rows that look like it as a group. The samples of each
batch that are worth a backward pass: `UtilityDiversitySelector`. Go around any estimator by
`SelectedSamplesEstimator`; write a selector by `SampleSelectorMixin`.
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
from minimalml.resampling._facility_location import greedy_facility_location
from minimalml.resampling._open_set_coreset._augmented_transformer import (
    CoresetAugmentedTransformer,
)
from minimalml.resampling._open_set_coreset._open_set_coreset import (
    OpenSetCoresetSelector,
)
from minimalml.resampling._open_set_coreset._rounds import iterative_coreset
from minimalml.resampling._sample_selector import SampleSelectorMixin
from minimalml.resampling._selected_samples import SelectedSamplesEstimator
from minimalml.resampling._transport_coreset._exchange import marginal_improvement
from minimalml.resampling._transport_coreset._gradient_norms import gradient_norms
from minimalml.resampling._transport_coreset._transport_coreset import (
    TransportCoresetSelector,
)
from minimalml.resampling._utility_diversity._nuclear_norm import nuclear_norm
from minimalml.resampling._utility_diversity._online_batches import (
    OnlineBatchClassifier,
)
from minimalml.resampling._utility_diversity._utility_diversity import (
    UtilityDiversitySelector,
)

__all__ = [
    "CMixup",
    "CMixupMLPRegressor",
    "CMixupRegressor",
    "CoresetAugmentedTransformer",
    "OnlineBatchClassifier",
    "OpenSetCoresetSelector",
    "SampleSelectorMixin",
    "SelectedSamplesEstimator",
    "TargetKernelDisplay",
    "TargetKernelSampler",
    "TransportCoresetSelector",
    "UtilityDiversitySelector",
    "gradient_norms",
    "greedy_facility_location",
    "iterative_coreset",
    "marginal_improvement",
    "mix",
    "mix_tasks",
    "nuclear_norm",
    "sample_partners",
]
