"""Learn about single rows from what is known about bags of rows only.

All take ``fit(X, y, bags)``: ids and the bag's value on each row. `aggregate_targets`
makes such a y, `aggregate_by_bag` reduces rows to bags, and `make_bag_scorer` scores by
bag in a search. Which learner: what is known of a bag decides, a mean, a share, a label,
or which of its rows were chosen (`SubsetSelector`, whose y is the row's own).
"""

from minimalml.bags._aggregate_responses._aggregate_loss import aggregate_loss
from minimalml.bags._aggregate_responses._aggregate_networks import (
    AggregateMLPClassifier,
    AggregateMLPRegressor,
)
from minimalml.bags._aggregate_responses._aggregate_responses import AggregateRidge
from minimalml.bags._aggregate_responses._aggregate_risk import aggregate_risk
from minimalml.bags._aggregate_responses._aggregate_statistics import (
    AggregateStatistics,
)
from minimalml.bags._aggregate_responses._label_privacy import (
    optimal_bag_size,
    private_aggregate,
)
from minimalml.bags._aggregates import aggregate_by_bag, aggregate_targets
from minimalml.bags._label_proportions._label_proportions import (
    LabelProportionClassifier,
)
from minimalml.bags._label_proportions._label_proportions_network import (
    LabelProportionMLPClassifier,
)
from minimalml.bags._label_proportions._propagation import propagate_label_proportions
from minimalml.bags._label_proportions._similarity_graph import similarity_graph
from minimalml.bags._multiple_instance._multiple_instance import (
    MultipleInstanceClassifier,
)
from minimalml.bags._multiple_instance._multiple_instance_network import (
    MultipleInstanceMLPClassifier,
)
from minimalml.bags._scorer import make_bag_scorer
from minimalml.bags._subset_selection._choice import mean_jaccard_score
from minimalml.bags._subset_selection._mean_field import mean_field_update
from minimalml.bags._subset_selection._subset_selection import SubsetSelector

__all__ = [
    "AggregateMLPClassifier",
    "AggregateMLPRegressor",
    "AggregateRidge",
    "AggregateStatistics",
    "LabelProportionClassifier",
    "LabelProportionMLPClassifier",
    "MultipleInstanceClassifier",
    "MultipleInstanceMLPClassifier",
    "SubsetSelector",
    "aggregate_by_bag",
    "aggregate_loss",
    "aggregate_risk",
    "aggregate_targets",
    "make_bag_scorer",
    "mean_field_update",
    "mean_jaccard_score",
    "optimal_bag_size",
    "private_aggregate",
    "propagate_label_proportions",
    "similarity_graph",
]
