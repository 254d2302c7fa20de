"""Attack a classifier with ordered lists of classes, to see how steerable it is.

The features are pulled towards the nearest point at which the targets lead in order,
which a small quadratic programme gives (Paniagua, Grainger, Wu, "QuadAttacK", NeurIPS
2023); on linear models that point is the smallest perturbation itself.
"""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import (
    BaseEstimator,
    MetaEstimatorMixin,
    OneToOneFeatureMixin,
    TransformerMixin,
)
from sklearn.linear_model import LogisticRegression
from sklearn.utils import (
    _safe_indexing,
    check_consistent_length,
    check_random_state,
    column_or_1d,
)

from minimalml._core.callbacks import (
    CallbackSupportMixin,
    fit_task,
    with_callbacks,
)
from minimalml._core.models.delegation import RoutingMixin
from minimalml._core.models.linear_head import linear_head
from minimalml._core.models.prefit import (
    PREFIT_CONSTRAINT,
    estimator_to_use,
    is_used_as_fitted,
)
from minimalml._core.validation import (
    Interval,
    StrOptions,
    _fit_context,
    check_is_fitted,
    validate_data,
)
from minimalml.inspection._quad_attack._attack_inputs import (
    bounds_of,
    check_within,
    choose_targets,
    learning_rate_for,
    true_classes,
)
from minimalml.inspection._quad_attack._attack_run import (
    attack_batches,
    describe,
    scores_of,
)
from minimalml.inspection._quad_attack._gram import gram_of
from minimalml.inspection._quad_attack._losses import check_teacher
from minimalml.inspection._quad_attack._ordered_top_k import LARGE, checked_numbers

FLOATS = [np.float64, np.float32]


class QuadAttack(
    CallbackSupportMixin,
    RoutingMixin,
    OneToOneFeatureMixin,
    TransformerMixin,
    MetaEstimatorMixin,
    BaseEstimator,
):
    """Perturb inputs so that k wrong classes lead in a given order.

    For evaluating classifiers that you hold: success rates and perturbation sizes as a
    function of k say how far the scores can be steered. On linear models the smallest
    perturbation is found exactly, with a proof; on networks by ``max_iter`` gradient
    steps, each with a small quadratic programme a row. A step costs one pass through
    the network, and O(C a + a^2) a row for C classes and a active constraints.

    Parameters
    ----------
    estimator : classifier or torch.nn.Module, default=None
        What to attack: a linear classifier, MLPClassifier, torch module that returns
        logits (attacked on its device), or one of these after affine steps in a
        Pipeline or inside another meta-estimator. None stands for LogisticRegression.
    k : int, default=1
        Length of the lists, from 1 to the number of classes less one.
    loss : {"quad", "cw", "distillation"}, default="quad"
        What gradient steps go down: the distance to the nearest solution, the
        Carlini-Wagner loss, or the divergence from an adversarial teacher.
    margin : float, default=0.2
        Lead in scores that "quad" and "cw" ask for. With 0 the solution of "quad" ties
        classes, and success is not assured; for "cw" 0 is the paper's baseline.
    class_similarity : array-like of shape (n_classes, n_classes), default=None
        For "distillation": how alike classes are, in [-1, 1]. None takes the cosines
        of the rows of the head.
    max_iter : int, default=60
        Gradient steps in a binary search step.
    n_search_steps : int, default=1
        Binary search steps over the weight of the loss against the norm.
    coef_upper : float, default=20.0
        Upper end of that search; the first weight is half of it.
    learning_rate : float or "auto", default="auto"
        Step of AdamW. "auto" scales the paper's 2.2e-3 for 3 x 224 x 224 inputs with
        the inverse root of the input's size, from 2e-3 to 0.05 of the input's range.
    clip_values : tuple (low, high), "data" or None, default=(0, 1)
        Bounds of valid inputs, each a number, an array with one value a feature, or
        None for no bound; "data" takes each feature's range in ``fit``.
    targets : array-like, "random" or None, default=None
        Labels to put on top, best first, (n_samples, k) or (k,) for all rows. "random"
        draws them, the paper's protocol; None takes the k classes with the lowest
        scores, lowest first.
    method : {"auto", "exact", "gradient"}, default="auto"
        "exact" needs a linear model and finds the smallest perturbation; "auto" takes
        it where it can and ``loss="quad"``.
    on_failure : {"original", "last"}, default="original"
        What stands for a row that did not succeed.
    stop_on_success : bool, default=False
        Keep each row's first success and stop when all have one, rather than look for
        smaller perturbations.
    prefit : bool or "auto", default="auto"
        Whether ``estimator`` is fitted. "auto" fits a clone unless all of it is.
        Cloning, as in cross-validation, forgets a fit: wrap in FrozenEstimator to keep
        it.
    batch_size : int, default=256
        Rows that are attacked together.
    n_jobs : int, default=None
        Batches that are attacked at once, on the CPU, by joblib; None means 1 unless in
        a `joblib.parallel_config` context. Scikit-learn models take one BLAS thread a
        batch, so that the number of jobs changes no bit of the result.
    random_state : int, RandomState instance or None, default=None
        Draws random targets and the first perturbations.

    Attributes
    ----------
    estimator_ : classifier or torch.nn.Module
        The fitted model under attack.
    classes_ : ndarray of shape (n_classes,)
        Labels in the order of the scores.
    method_ : {"exact", "gradient"}
        What ``method`` came to.
    bounds_ : tuple of two ndarrays of shape (n_features,)
        Lower and upper bound of each feature.
    learning_rate_ : float
        The step that is used.
    n_iter_ : int
        Gradient steps of an attack; 1 if exact.
    n_features_in_ : int
        Number of features seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where X had names.

    See Also
    --------
    solve_ordered_top_k : The programme in the loop.
    ordered_top_k_report : Figures from an attack.

    Notes
    -----
    With f the features and l the scores, the loss is ``min |v - f|^2`` over v whose
    scores are in order by the margin, and its cotangent in the scores is ``-2 u`` with
    u the direction of `solve_ordered_top_k`. Total: ``coefficient * loss +
    |perturbation|^2``; the coefficient falls by 0.75 at each success.

    The first perturbation depends on a row's place in X, so results of the gradient
    method can change with the order of rows. Those of the exact method can't.

    References
    ----------
    Paniagua, Grainger, Wu, "QuadAttacK: A Quadratic Programming Approach to Learning
    Ordered Top-K Adversarial Attacks", NeurIPS 2023, arXiv 2312.11510.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import RidgeClassifier
    >>> from minimalml.inspection import QuadAttack
    >>> X, y = load_iris(return_X_y=True)
    >>> attack = QuadAttack(RidgeClassifier(), k=2, clip_values=None).fit(X, y)
    >>> result = attack.attack(X[:1], y[:1], targets=[2, 1])
    >>> attack.estimator_.predict(result.X_adversarial)
    array([2])
    >>> bool(result.l2[0] <= result.distance_bound[0] + 1e-6)  # none is smaller
    True
    """

    _parameter_constraints = {
        "k": [Interval(Integral, 1, None, closed="left")],
        "loss": [StrOptions({"quad", "cw", "distillation"})],
        "margin": [Interval(Real, 0, np.inf, closed="left")],
        "class_similarity": ["array-like", None],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "n_search_steps": [Interval(Integral, 1, None, closed="left")],
        "coef_upper": [Interval(Real, 0, np.inf, closed="neither")],
        "learning_rate": [
            Interval(Real, 0, np.inf, closed="neither"),
            StrOptions({"auto"}),
        ],
        "clip_values": ["array-like", StrOptions({"data"}), None],
        "targets": ["array-like", StrOptions({"random"}), None],
        "method": [StrOptions({"auto", "exact", "gradient"})],
        "on_failure": [StrOptions({"original", "last"})],
        "stop_on_success": ["boolean"],
        "prefit": PREFIT_CONSTRAINT,
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator=None,
        *,
        k=1,
        loss="quad",
        margin=0.2,
        class_similarity=None,
        max_iter=60,
        n_search_steps=1,
        coef_upper=20.0,
        learning_rate="auto",
        clip_values=(0, 1),
        targets=None,
        method="auto",
        on_failure="original",
        stop_on_success=False,
        prefit="auto",
        batch_size=256,
        n_jobs=None,
        random_state=None,
    ):
        self.estimator = estimator
        self.k = k
        self.loss = loss
        self.margin = margin
        self.class_similarity = class_similarity
        self.max_iter = max_iter
        self.n_search_steps = n_search_steps
        self.coef_upper = coef_upper
        self.learning_rate = learning_rate
        self.clip_values = clip_values
        self.targets = targets
        self.method = method
        self.on_failure = on_failure
        self.stop_on_success = stop_on_success
        self.prefit = prefit
        self.batch_size = batch_size
        self.n_jobs = n_jobs
        self.random_state = random_state

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, **fit_params):
        """Take the model to attack, fitting a clone where it is not fitted.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, *image_shape)
            Inputs: for their shape, their range, and to fit ``estimator``.

        y : array-like of shape (n_samples,), default=None
            Labels; needed only to fit ``estimator``.

        **fit_params : dict
            Passed to ``estimator.fit`` where that is called.

        Returns
        -------
        self : QuadAttack

        Raises
        ------
        ValueError
            If k is too large for the model's classes or X leaves ``clip_values``.
        TypeError
            If the model has no linear head that can be read.
        NotFittedError
            If ``prefit=True`` and ``estimator`` is not fitted.
        """
        with fit_task(self, X, y, 1) as task:
            X = self._flatten(X)
            self.estimator_, needs_fit = estimator_to_use(
                self._estimator(), self.prefit
            )
            if needs_fit:
                rows, labels = validate_data(self, X, y, dtype=FLOATS)
                params = self._route("fit", fit_params)
                inner = self.estimator_  # no copy of self could attack by then
                with task.step("fit the estimator", attributes=None, inner=inner):
                    inner.fit(rows, labels, **params)
            X = validate_data(self, X, dtype=FLOATS)
            self.bounds_ = bounds_of(self.clip_values, X)
            check_within(X, self.bounds_)
            self._head = linear_head(
                self.estimator_, X[:2], input_shape=self._image_shape
            )
            self.classes_ = self._head.classes
            self.method_ = self._plan()
            self._gram = self._gram_of_head()
            self.learning_rate_ = learning_rate_for(self.learning_rate, X, self.bounds_)
            is_exact = self.method_ == "exact"
            self.n_iter_ = 1 if is_exact else self.n_search_steps * self.max_iter
        return self

    def _estimator(self):
        return LogisticRegression() if self.estimator is None else self.estimator

    def _flatten(self, X):
        """Return images as rows, and remember their shape."""
        self._image_shape = None
        if getattr(X, "ndim", 2) > 2:
            X = np.asarray(X)
            self._image_shape = X.shape[1:]
            X = X.reshape(len(X), -1)
        return X

    def _plan(self):
        """Return "exact" or "gradient", after a look at parameters beside the model."""
        n_classes, is_quad = len(self.classes_), self.loss == "quad"
        if self.k > n_classes - 1:
            raise ValueError(
                f"k must be between 1 and {n_classes - 1}, the number of classes less "
                f"one, got {self.k}."
            )
        can_be_exact = self._head.is_linear and is_quad
        if self.method == "exact" and not can_be_exact:
            raise ValueError(
                "method='exact' needs a linear model and loss='quad', got "
                f"{type(self.estimator_).__name__} and loss={self.loss!r}."
            )
        if self.loss == "distillation":
            similarity = np.ones((1, 1))  # no cosine is larger
            if self.class_similarity is not None:
                similarity = checked_numbers(
                    "class_similarity",
                    np.asarray(self.class_similarity, dtype=float),
                    (n_classes, n_classes),
                    similarity,
                )
            check_teacher(float(similarity.max()), self.k)
        return "exact" if can_be_exact and self.method != "gradient" else "gradient"

    def _gram_of_head(self):
        """Return the Gram matrix of the head, None where no gradient step needs it."""
        is_exact, weight = self.method_ == "exact", self._head.weight
        largest = float(abs(weight).max())
        if not largest < (np.inf if is_exact else np.sqrt(LARGE)):
            raise ValueError(
                f"{type(self.estimator_).__name__} has a head whose weights, or their "
                f"products, are not finite: the largest is {largest:g}."
            )
        return None if is_exact else gram_of(weight)

    @with_callbacks
    def attack(self, X, y=None, targets=None):
        """Attack each row and return all that is known about it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, *image_shape)
            Clean inputs.

        y : array-like of shape (n_samples,), default=None
            True labels, which no target may equal; None takes the predicted ones.
            Rows that the model gets wrong are attacked as well.

        targets : array-like or "random", default=None
            Overrides the parameter ``targets``.

        Returns
        -------
        result : Bunch
            - X_adversarial : like X; rows without success as ``on_failure`` says.
            - success, unordered_success : (n_samples,), whether the top k classes
              are the targets, in order and in any order.
            - targets, true_labels, predicted : labels.
            - logits, target_indices : scores of X_adversarial, and targets as their
              columns, for `ordered_top_k_report`.
            - perturbation : (n_samples, n_features), X_adversarial minus X.
            - l1, l2, linf : (n_samples,), its norms.
            - coefficient : (n_samples,), last weight of the loss; NaN if exact.
            - distance_bound : (n_samples,), length below which no perturbation
              succeeds by the margin; infinite where none exists, NaN if not exact.

        Raises
        ------
        ValueError
            If X leaves ``clip_values`` or targets repeat, name the true class or an
            unknown one.
        """
        rows = self._checked_rows(X)
        self._validate_params()
        method = self._plan()
        random_state = check_random_state(self.random_state)
        logits = scores_of(self, rows)
        predicted = logits.argmax(axis=1)
        true = true_classes(y, self.classes_, predicted)
        targets = self.targets if targets is None else targets
        goal = choose_targets(
            targets, self.k, self.classes_, true, logits, random_state
        )
        n_batches = -(-len(rows) // self.batch_size)
        context = self._init_callback_context("attack", max_subtasks=n_batches)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        found = attack_batches(self, method, rows, goal, random_state, context)
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        result = describe(self, rows, found[0], goal)
        if getattr(X, "ndim", 2) > 2:
            result.X_adversarial = result.X_adversarial.reshape(X.shape)
        result.update(
            true_labels=self.classes_[true],
            predicted=self.classes_[predicted],
            coefficient=found[1],
            distance_bound=found[2],
        )
        return result

    def _checked_rows(self, X):
        check_is_fitted(self)
        if getattr(X, "ndim", 2) > 2:
            X = np.asarray(X).reshape(len(X), -1)
        X = validate_data(self, X, reset=False, dtype=FLOATS)
        check_within(X, self.bounds_)
        return X

    def transform(self, X, y=None, targets=None):
        """Return X with successful perturbations added.

        Parameters
        ----------
        X, y, targets : array-like
            As in `attack`.

        Returns
        -------
        ndarray of the shape and type of X
        """
        return self.attack(X, y, targets).X_adversarial

    def score(self, X, y=None, targets=None):
        """Return the share of correctly classified rows that resist, 1 the best.

        Parameters
        ----------
        X, y, targets : array-like
            As in `attack`; where y is None, every row counts as correctly classified.

        Returns
        -------
        float
            One minus the success rate; NaN with a warning if no row is classified
            correctly.
        """
        if y is not None:
            predicted = scores_of(self, self._checked_rows(X)).argmax(axis=1)
            y = column_or_1d(y, warn=True)
            check_consistent_length(X, y)
            kept = np.flatnonzero(self.classes_[predicted] == y)
            if len(kept) == 0:
                warnings.warn(
                    "No row is classified correctly: robustness is not defined.",
                    stacklevel=2,
                )
                return np.nan
            if np.ndim(targets) and len(targets) == len(predicted):
                targets = np.asarray(targets)[kept]
            X, y = _safe_indexing(X, kept), y[kept]
        return 1.0 - float(self.attack(X, y, targets).success.mean())

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        is_fitted = self.prefit is not False and is_used_as_fitted(self._estimator())
        tags.target_tags.required = not is_fitted
        return tags
