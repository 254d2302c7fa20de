"""Many models in place of one: more different, averaged, or distilled.

`DiversityRegularizedClassifier` and its regressor train networks together and search how much
they shall differ; `diversity_decomposition` and `subset_report` say of any ensemble what its
diversity is worth.
"""

from minimalml.ensemble._diversity._diversity import (
    DiversityRegularizedClassifier,
    DiversityRegularizedRegressor,
)
from minimalml.ensemble._diversity._measures import diversity, diversity_decomposition
from minimalml.ensemble._diversity._subset_report import subset_report

__all__ = [
    "DiversityRegularizedClassifier",
    "DiversityRegularizedRegressor",
    "diversity",
    "diversity_decomposition",
    "subset_report",
]
