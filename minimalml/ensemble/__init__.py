"""Many models in place of one: more different, averaged, or distilled.

`DiversityRegularizedClassifier` and its regressor train networks together and search how much
they shall differ; `diversity_decomposition` and `subset_report` say of any ensemble what its
diversity is worth. `ModelSoupClassifier` and its regressor stand where a search stands, and
average the weights of its candidates into one model; `greedy_soup` does so with models at hand.
`ConcatenatedRepresentation` makes features for new tasks of several seeds of one network, and
`DistilledRepresentation` puts them into one.
`RegularizedEnsembleClassifier` and its regressor are for few data and much compute, and
`EnsembleScalingAnalysis` says where that ends; `ScalingLawRegressor` says it of any losses.
`EnsembleDistillationClassifier` and its regressor put one small model in the place of several
good ones.
"""

from minimalml.ensemble._distillation._distillation import (
    EnsembleDistillationClassifier,
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
from minimalml.ensemble._infinite_compute._infinite_compute import (
    RegularizedEnsembleClassifier,
    RegularizedEnsembleRegressor,
)
from minimalml.ensemble._infinite_compute._locally_optimal_search import (
    LocallyOptimalSearchCV,
)
from minimalml.ensemble._infinite_compute._scaling_analysis import (
    EnsembleScalingAnalysis,
    ensemble_loss_curve,
)
from minimalml.ensemble._infinite_compute._scaling_law import ScalingLawRegressor
from minimalml.ensemble._model_soup._averages import (
    average_weights,
    interpolate_weights,
)
from minimalml.ensemble._model_soup._ensemble_gap import soup_ensemble_gap
from minimalml.ensemble._model_soup._greedy_soup import SoupResult, greedy_soup
from minimalml.ensemble._model_soup._model_soup import (
    ModelSoupClassifier,
    ModelSoupRegressor,
)
from minimalml.ensemble._rich_representations._distilled_representation import (
    DistilledRepresentation,
)
from minimalml.ensemble._rich_representations._hidden_layers import (
    hidden_representation,
)
from minimalml.ensemble._rich_representations._rich_representations import (
    ConcatenatedRepresentation,
)

__all__ = [
    "ConcatenatedRepresentation",
    "DistilledRepresentation",
    "DiversityRegularizedClassifier",
    "DiversityRegularizedRegressor",
    "EnsembleDistillationClassifier",
    "EnsembleDistillationRegressor",
    "EnsembleScalingAnalysis",
    "LocallyOptimalSearchCV",
    "ModelSoupClassifier",
    "ModelSoupRegressor",
    "RegularizedEnsembleClassifier",
    "RegularizedEnsembleRegressor",
    "ScalingLawRegressor",
    "SoupResult",
    "average_weights",
    "compress_targets",
    "distillation_loss",
    "diversity",
    "diversity_decomposition",
    "ensemble_loss_curve",
    "expand_targets",
    "greedy_soup",
    "hidden_representation",
    "interpolate_weights",
    "soft_targets",
    "soup_ensemble_gap",
    "subset_report",
]
