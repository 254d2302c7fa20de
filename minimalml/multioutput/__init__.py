"""Several outputs that belong together: labels in pairs, tasks that share a representation.

`CompositionalZeroShotClassifier` recognises pairs of known parts, (attribute, object),
that training never showed. `LassoTaskSelector` picks source tasks when heads are known,
`SharedRepresentationRegressor` learns one representation for tasks at hand, and
`ActiveMultiTaskRegressor` and `ActiveMultiTaskClassifier` spend a budget of source
samples on one target task.
"""

from minimalml.datasets import make_low_rank_tasks
from minimalml.multioutput._compositional_zero_shot._compositional_zero_shot import (
    CompositionalZeroShotClassifier,
)
from minimalml.multioutput._compositional_zero_shot._czsl_curve import (
    CZSLCurveDisplay,
    curve_from_gaps,
    czsl_auc_score,
    czsl_curve,
    make_czsl_scorer,
)
from minimalml.multioutput._compositional_zero_shot._czsl_gaps import (
    czsl_gaps,
)
from minimalml.multioutput._compositional_zero_shot._independent_primitives import (
    IndependentPrimitives,
)
from minimalml.multioutput._compositional_zero_shot._over_sampler import (
    ObjectSimilarityOverSampler,
)
from minimalml.multioutput._compositional_zero_shot._pair_holdout import (
    PairHoldoutSplit,
)
from minimalml.multioutput._compositional_zero_shot._primitive_attack import (
    primitive_attack,
    smoothed_pair_targets,
)
from minimalml.multioutput._lasso_task_selection._active_multi_task import (
    ActiveMultiTaskClassifier,
    ActiveMultiTaskRegressor,
)
from minimalml.multioutput._lasso_task_selection._allocation import (
    allocate_samples,
    excess_risk_bound,
)
from minimalml.multioutput._lasso_task_selection._relevance import (
    relevance_l1,
    relevance_l2,
    relevance_lasso,
    relevance_path,
)
from minimalml.multioutput._lasso_task_selection._shared_regressor import (
    SharedRepresentationRegressor,
)
from minimalml.multioutput._lasso_task_selection._shared_representation import (
    fit_shared_representation,
)
from minimalml.multioutput._lasso_task_selection._task_selector import (
    LassoTaskSelector,
    select_tasks,
)
from minimalml.multioutput._lasso_task_selection._task_statistics import (
    TaskStatistics,
    task_statistics,
)

__all__ = [
    "ActiveMultiTaskClassifier",
    "ActiveMultiTaskRegressor",
    "CZSLCurveDisplay",
    "CompositionalZeroShotClassifier",
    "IndependentPrimitives",
    "LassoTaskSelector",
    "ObjectSimilarityOverSampler",
    "PairHoldoutSplit",
    "SharedRepresentationRegressor",
    "TaskStatistics",
    "allocate_samples",
    "curve_from_gaps",
    "czsl_auc_score",
    "czsl_curve",
    "czsl_gaps",
    "excess_risk_bound",
    "fit_shared_representation",
    "make_czsl_scorer",
    "make_low_rank_tasks",
    "primitive_attack",
    "relevance_l1",
    "relevance_l2",
    "relevance_lasso",
    "relevance_path",
    "select_tasks",
    "smoothed_pair_targets",
    "task_statistics",
]
