"""Many models in place of one: more different, averaged, or distilled.

`DiversityRegularizedClassifier` and its regressor train networks together and search how much
they shall differ; `diversity_decomposition` and `subset_report` say of any ensemble what its
diversity is worth. `ConcatenatedRepresentation` makes features for new tasks of several seeds of
one network, and `DistilledRepresentation` puts them into one.
"""

from minimalml.ensemble._diversity._diversity import (
    DiversityRegularizedClassifier,
    DiversityRegularizedRegressor,
)
from minimalml.ensemble._diversity._measures import diversity, diversity_decomposition
from minimalml.ensemble._diversity._subset_report import subset_report
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
    "diversity",
    "diversity_decomposition",
    "hidden_representation",
    "subset_report",
]
