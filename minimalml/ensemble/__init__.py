"""Many models in place of one: more different, averaged, or distilled.

`DiversityRegularizedClassifier` and its regressor train networks together and search how much
they shall differ; `diversity_decomposition` and `subset_report` say of any ensemble what its
diversity is worth. `EnsembleDistillationClassifier` and its regressor put one small model in
the place of several good ones.
"""

from minimalml.ensemble._distillation._distillation import (
    EnsembleDistillationClassifier,
)
from minimalml.ensemble._distillation._distillation_regressor import (
    EnsembleDistillationRegressor,
)
from minimalml.ensemble._distillation._soft_targets import (
    compress_targets,
    distillation_loss,
    expand_targets,
    soft_targets,
)
from minimalml.ensemble._diversity._diversity import (
    DiversityRegularizedClassifier,
    DiversityRegularizedRegressor,
)
from minimalml.ensemble._diversity._measures import diversity, diversity_decomposition
from minimalml.ensemble._diversity._subset_report import subset_report

__all__ = [
    "DiversityRegularizedClassifier",
    "DiversityRegularizedRegressor",
    "EnsembleDistillationClassifier",
    "EnsembleDistillationRegressor",
    "compress_targets",
    "distillation_loss",
    "diversity",
    "diversity_decomposition",
    "expand_targets",
    "soft_targets",
    "subset_report",
]
