"""Active multi-task regression and classification.

Buy source samples where they help one target task most. See Wang, Chen, Jamieson and Du
(2023), arXiv 2306.02556.
"""

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin

from minimalml._core.array_checks import encode_labels, unique_labels
from minimalml._core.validation import validate_data
from minimalml.multioutput._lasso_task_selection._active_rounds import (
    FLOATS,
    ActiveMultiTask,
)
from minimalml.multioutput._lasso_task_selection._documentation import document


@document
class ActiveMultiTaskRegressor(RegressorMixin, ActiveMultiTask):
    """Learn a target task from the source samples that help it most.

    Use it when labels of related tasks can be had, for a price, and the target's are
    few: a first round explores all sources, later ones buy from those whose heads
    express the target's. With very few target rows the choice hardly matters, since
    the error of the target's own head dominates.

    Parameters
    ----------
    {active}

    Attributes
    ----------
    {active_attributes}
    coef_ : ndarray of shape (n_features,)
        Weights of the target; not with a network.
    intercept_ : float
        Intercept of the target.

    See Also
    --------
    ActiveMultiTaskClassifier : The same for classes.
    LassoTaskSelector : Chooses among sources whose heads are known.

    Notes
    -----
    The target's excess risk is bounded by ``sum(nu**2 / n)`` for any ``nu`` that
    writes its head with the sources' heads; buying ``n`` in proportion to ``|nu|`` of
    the smallest L1 norm minimises it. Prices stand in the order of ``tasks_``, and
    ``task_cost`` is paid in each round that draws from a task.

    References
    ----------
    {paper}

    Examples
    --------
    >>> from minimalml.multioutput import ActiveMultiTaskRegressor, make_low_rank_tasks
    >>> X, y, tasks, truth = make_low_rank_tasks(n_tasks=20, n_samples=400,
    ...                                          random_state=0)
    >>> model = ActiveMultiTaskRegressor(n_components=4, budget=2000, random_state=0)
    >>> model.fit(X, y, tasks=tasks).n_samples_spent_
    2000
    >>> error = model.coef_ - truth.basis @ truth.target_head
    >>> float(error @ error) < 0.05
    True
    """

    def predict(self, X):
        """Predict the target task.

        Parameters
        ----------
        {X}

        Returns
        -------
        ndarray of shape (n_samples,)
            Predictions.
        """
        return self._scores(X)[:, 0]

    def _fit_target(self, learner, X, targets):
        error = super()._fit_target(learner, X, targets)
        self.intercept_ = float(self.intercept_[0])
        if isinstance(self.representation_, np.ndarray):
            self.coef_ = self.coef_[0]
        return error


@document
class ActiveMultiTaskClassifier(ClassifierMixin, ActiveMultiTask):
    """Learn a target classification task from the source samples that help most.

    Classes are regressed on -1 and 1, one against the others, and the largest score
    wins. Sources share the target's labels (yes and no, say); a source with one label
    in what was drawn is not used to express the target.

    Parameters
    ----------
    {active}

    Attributes
    ----------
    {active_attributes}
    coef_ : ndarray of shape (1, n_features) or (n_classes, n_features)
        Weights of the target; not with a network.
    intercept_ : ndarray of shape (1,) or (n_classes,)
        Intercept of the target.
    classes_ : ndarray of shape (n_classes,)
        Labels, rising.

    See Also
    --------
    ActiveMultiTaskRegressor : The same for numbers.
    LassoTaskSelector : Chooses among sources whose heads are known.

    Notes
    -----
    With more than two classes every class of a source has a head, and a source's
    relevance is the norm of the weights of all of them in all heads of the target.
    ``max_tasks`` and ``task_cost`` need two classes.

    References
    ----------
    {paper}

    Examples
    --------
    >>> from minimalml.multioutput import ActiveMultiTaskClassifier, make_low_rank_tasks
    >>> X, y, tasks, truth = make_low_rank_tasks(n_tasks=20, n_samples=400,
    ...                                          random_state=0)
    >>> model = ActiveMultiTaskClassifier(n_components=4, budget=2000, random_state=0)
    >>> model.fit(X, y > 0, tasks=tasks).score(X[tasks == 20], y[tasks == 20] > 0) > 0.8
    True
    """

    def decision_function(self, X):
        """Score each class of the target task.

        Parameters
        ----------
        {X}

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            Scores, around -1 for no and 1 for yes; of two classes that of the second.
        """
        scores = self._scores(X)
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X):
        """Predict the class in the target task.

        Parameters
        ----------
        {X}

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels.
        """
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return self.classes_[(scores > 0).astype(np.intp)]
        return self.classes_[scores.argmax(axis=1)]

    def _check_rows(self, X, y):
        X, y = validate_data(self, X, y, dtype=FLOATS)
        self.classes_, _ = unique_labels(y)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y must hold at least two classes, got one class: {self.classes_[0]}."
            )
        return X, y

    def _encode(self, y):
        """Turn labels into -1 and 1, a column a class, or one for two classes."""
        codes = encode_labels(y, self.classes_, name="y of the sampler")[:, None]
        if len(self.classes_) == 2:
            return 2.0 * codes - 1.0
        return np.where(codes == np.arange(len(self.classes_)), 1.0, -1.0)
