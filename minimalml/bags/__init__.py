"""Learn about single rows from what is known about bags of rows only.

All take ``fit(X, y, bags)``: ids and the bag's value on each row. `aggregate_targets`
makes such a y, `aggregate_by_bag` reduces rows to bags, and `make_bag_scorer` scores by
bag in a search. Which learner: what is known of a bag decides, a mean, a share, a label,
or which of its rows were chosen (`SubsetSelector`, whose y is the row's own).
"""

from minimalml.bags._aggregates import aggregate_by_bag, aggregate_targets
from minimalml.bags._scorer import make_bag_scorer
from minimalml.bags._subset_selection._choice import mean_jaccard_score
from minimalml.bags._subset_selection._mean_field import mean_field_update
from minimalml.bags._subset_selection._subset_selection import SubsetSelector

__all__ = [
    "SubsetSelector",
    "aggregate_by_bag",
    "aggregate_targets",
    "make_bag_scorer",
    "mean_field_update",
    "mean_jaccard_score",
]
