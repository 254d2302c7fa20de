"""Active multi-task regression and classification.

Buy source samples where they help one target task most. See Wang, Chen, Jamieson and Du
(2023), arXiv 2306.02556.
"""

import inspect

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin

from minimalml._core.array_checks import encode_labels, unique_labels
from minimalml._core.validation import validate_data
from minimalml.multioutput._lasso_task_selection._active_rounds import (
    FLOATS,
    ActiveMultiTask,
)

PARAMETERS = """\
n_components : int, default=5
    Dimension of the representation.

budget : int or float, default=1000
    Number of source samples to buy; the money for them, if ``sample_cost`` or
    ``task_cost`` is set.

strategy : {"lasso", "l2", "uniform"}, default="lasso"
    What later rounds buy by: the smallest-L1 relevance, the smallest-L2 relevance,
    or equal shares (passive learning).

exponent : float, default=1
    Samples are shared in proportion to ``|relevance| ** exponent``. With "l2", 2
    is the rule of the method of 2022.

lambda_ : float, "lp" or "discrepancy", default=0.05
    Penalty of the Lasso in units of the smallest that gives zero. "lp" takes the
    limit of none; "discrepancy" the largest whose residual is within the error of
    the target's head.

exploration_fraction : float, default=0.25
    Share of the budget that the first round spends equally on all sources.

n_rounds : int, default=2
    Number of rounds; each after the second has twice the budget of the one before.
    One round is passive learning.

reuse_data : bool, default=True
    Whether each round fits to all samples so far, or to its own only (which is
    unstable).

min_samples : int, default=None
    Floor of each source in later rounds; None takes 0 when data are reused, else
    ``n_components + 1``.

sample_cost : array-like of shape (n_sources,), default=None
    Positive price of a sample of each source, sources in the order of ``tasks_``.

task_cost : float or array-like of shape (n_sources,), default=None
    Price of drawing from a source at all, paid in each round that does.

max_tasks : int, default=None
    Largest number of sources that a later round draws from.

center : bool, default=True
    Whether every task has an intercept; the paper's model has none.

max_iter : int, default=100
    Largest number of alternations of the representation in a round.

tol : float, default=1e-4
    A round's alternations stop when one lowers the loss by less than this share.

representation : torch.nn.Module, default=None
    Network from inputs to ``n_components`` features, for what is not linear. It is
    copied; the copy is trained by Adam in each round, on the device of its weights,
    with a linear head for each task, on squared errors, of classes on the logistic
    loss.

max_epochs : int, default=50
    Epochs of the network in each round.

learning_rate : float, default=1e-3
    Step size of the network.

random_state : int, RandomState instance or None, default=None
    Decides which rows are bought, or the sampler's seeds, and the network's.

n_jobs : int, default=None
    Threads that call a sampler at the same time."""

ATTRIBUTES = """\
relevance_ : ndarray of shape (n_sources,)
    Relevance of each source after the last round: signed, but for more than two
    classes the norm over their heads.
allocation_ : ndarray of shape (n_rounds, n_sources)
    Samples bought in each round.
tasks_ : ndarray of shape (n_sources,)
    Identifiers of the sources.
history_ : list of dict
    Of each round ``allocation``, ``relevance``, ``cost`` and ``source_loss``.
representation_ : ndarray of shape (n_features, n_components)
    Orthonormal basis; the trained network, where one was given.
target_head_ : ndarray of shape (n_components, n_outputs)
    Head of the target, one output, or one a class beyond two.
n_iter_ : int
    Alternations, or epochs, up to the end of the last round.
n_samples_spent_ : int
    Number of source samples bought.
cost_ : float
    What they cost.
sample_indices_ : ndarray of int of shape (n_samples_spent_,)
    Rows of ``X`` bought, in this order; only after `fit`.
n_features_in_ : int
    Number of features seen during fit.
feature_names_in_ : ndarray of shape (n_features,)
    Names of the features, where ``X`` has string column names."""


def document_shared(cls):
    """Put the words on what both classes share into the docstring of one."""
    if cls.__doc__ is not None:  # None with python -OO
        cls.__doc__ = inspect.cleandoc(cls.__doc__).format(
            parameters=PARAMETERS, attributes=ATTRIBUTES
        )
    return cls


@document_shared
class ActiveMultiTaskRegressor(RegressorMixin, ActiveMultiTask):
    """Learn a target task from the source samples that help it most.

    Use it when labels of related tasks can be had, for a price, and the target's are
    few: a first round explores all sources, later ones buy from those whose heads
    express the target's. With very few target rows the choice hardly matters, since
    the error of the target's own head dominates.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}
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
    the smallest L1 norm minimises it.

    References
    ----------
    Wang, Chen, Jamieson, Du. Improved Active Multi-Task Representation Learning via
    Lasso. ICML 2023.

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
        X : array-like of shape (n_samples, n_features)
            Inputs.

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


@document_shared
class ActiveMultiTaskClassifier(ClassifierMixin, ActiveMultiTask):
    """Learn a target classification task from the source samples that help most.

    Classes are regressed on -1 and 1, one against the others, and the largest score
    wins. Sources share the target's labels (yes and no, say); a source with one label
    in what was drawn is not used to express the target.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}
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
    Wang, Chen, Jamieson, Du. Improved Active Multi-Task Representation Learning via
    Lasso. ICML 2023.

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
        X : array-like of shape (n_samples, n_features)
            Inputs.

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
        X : array-like of shape (n_samples, n_features)
            Inputs.

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
