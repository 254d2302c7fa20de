"""Learn about single rows from what is known about bags of rows only.

All take ``fit(X, y, bags)``: ids and the bag's value on each row. `aggregate_targets`
makes such a y, `aggregate_by_bag` reduces rows to bags, and `make_bag_scorer` scores by
bag in a search. Which learner: what is known of a bag decides, a mean, a share or a label.
"""

from minimalml.bags._aggregates import aggregate_by_bag, aggregate_targets
from minimalml.bags._multiple_instance._multiple_instance import (
    MultipleInstanceClassifier,
)
from minimalml.bags._multiple_instance._multiple_instance_network import (
    MultipleInstanceMLPClassifier,
)
from minimalml.bags._scorer import make_bag_scorer

__all__ = [
    "MultipleInstanceClassifier",
    "MultipleInstanceMLPClassifier",
    "aggregate_by_bag",
    "aggregate_targets",
    "make_bag_scorer",
]
