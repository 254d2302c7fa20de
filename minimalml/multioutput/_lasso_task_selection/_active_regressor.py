"""Active multi-task regression.

See Wang, Chen, Jamieson and Du (2023), arXiv 2306.02556.
"""

from sklearn.base import RegressorMixin

from minimalml._core.validation import validate_data
from minimalml.multioutput._lasso_task_selection._active_rounds import (
    FLOATS,
    ActiveMultiTask,
)


class ActiveMultiTaskRegressor(RegressorMixin, ActiveMultiTask):
    """Learn a target task from the source samples that help it most.

    Use it when labels of related tasks can be had, for a price, and the target's are
    few: a first round explores all sources, later ones buy from those whose heads
    express the target's. With very few target rows the choice hardly matters, since
    the error of the target's own head dominates.

    Parameters
    ----------
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

    refit : bool, default=False
        Whether the Lasso's nonzeros are refitted by least squares.

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
        Network from inputs to ``n_components`` features, copied and trained at each
        round; None is the linear representation.

    loss : {"squared", "logistic"}, default="squared"
        What the network is trained on; "logistic" takes targets of -1 and 1.

    max_epochs : int, default=50
        Epochs of the network a round.

    batch_size : int, default=128
        Rows a step of the network.

    learning_rate : float, default=1e-3
        Step size of the network's Adam.

    weight_decay : float, default=0.0
        L2 penalty of the network.

    device : str, default="auto"
        Where the network is trained; "auto" takes an accelerator where there is one.

    random_state : int, RandomState instance or None, default=None
        Decides which rows are bought, or the sampler's seeds, and the network's.

    n_jobs : int, default=None
        Threads that call a sampler at the same time.

    verbose : int, default=0
        1 prints a line a round.

    Attributes
    ----------
    relevance_ : ndarray of shape (n_sources,)
        Relevance of each source after the last round, signed.
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
    coef_ : ndarray of shape (n_features,)
        Weights of the target; not with a network.
    intercept_ : float
        Intercept of the target.
    n_iter_ : int
        Alternations of the last round.
    n_samples_spent_ : int
        Number of source samples bought.
    cost_ : float
        What they cost.
    sample_indices_ : ndarray of int of shape (n_samples_spent_,)
        Rows of ``X`` bought, in this order; only after `fit`.
    n_features_in_ : int
        Number of features seen during fit.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, where ``X`` has string column names.

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
        return self._decision(X)

    def _check_rows(self, X, y):
        X, y = validate_data(self, X, y, dtype=FLOATS, y_numeric=True)
        return X, self._encode(y).astype(X.dtype, copy=False)

    def _encode(self, y):
        return y

    def _set_coefficients(self, coefficients):
        self.coef_ = coefficients[0]

    def _set_intercept(self, intercept):
        self.intercept_ = float(intercept[0])
