"""Methods for many related tasks: which to learn from, and what they share.

`LassoTaskSelector` picks sources when heads are known; `SharedRepresentationRegressor`
learns one representation for tasks at hand; `ActiveMultiTaskRegressor` and
`ActiveMultiTaskClassifier` spend a budget of source samples on one target task.
"""

from minimalml.datasets import make_low_rank_tasks
from minimalml.multitask._active_classifier import ActiveMultiTaskClassifier
from minimalml.multitask._active_regressor import ActiveMultiTaskRegressor
from minimalml.multitask._allocation import allocate_samples, excess_risk_bound
from minimalml.multitask._relevance import (
    relevance_l1,
    relevance_l2,
    relevance_lasso,
)
from minimalml.multitask._relevance_path import relevance_path
from minimalml.multitask._shared_regressor import SharedRepresentationRegressor
from minimalml.multitask._shared_representation import fit_shared_representation
from minimalml.multitask._task_choice import select_tasks
from minimalml.multitask._task_selector import LassoTaskSelector
from minimalml.multitask._task_statistics import TaskStatistics, task_statistics

__all__ = [
    "ActiveMultiTaskClassifier",
    "ActiveMultiTaskRegressor",
    "LassoTaskSelector",
    "SharedRepresentationRegressor",
    "TaskStatistics",
    "allocate_samples",
    "excess_risk_bound",
    "fit_shared_representation",
    "make_low_rank_tasks",
    "relevance_l1",
    "relevance_l2",
    "relevance_lasso",
    "relevance_path",
    "select_tasks",
    "task_statistics",
]
