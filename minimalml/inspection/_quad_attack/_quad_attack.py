"""Attack a classifier with ordered lists of classes, to see how steerable it is.

The features are pulled towards the nearest point at which the targets lead in order,
which a small quadratic programme gives (Paniagua, Grainger, Wu, "QuadAttacK", NeurIPS
2023); on linear models that point is the smallest perturbation itself.
"""

from numbers import Integral, Real

import numpy as np
from sklearn.base import (
    BaseEstimator,
    MetaEstimatorMixin,
    OneToOneFeatureMixin,
)
from sklearn.utils import Bunch
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping

from minimalml._core.callbacks import CallbackSupportMixin, with_callbacks
from minimalml._core.models.linear_head import linear_head
from minimalml._core.validation import (
    Interval,
    StrOptions,
    _fit_context,
    validate_data,
)
from minimalml.inspection._quad_attack._attack_inputs import (
    bounds_of,
    check_within,
    learning_rate_for,
)
from minimalml.inspection._quad_attack._attack_methods import AttackMixin
from minimalml.inspection._quad_attack._attacked_model import fitted_model, is_fitted
from minimalml.inspection._quad_attack._factored_gram import FactoredGram, gram_of
from minimalml.inspection._quad_attack._losses import (
    check_teacher,
    cosine_similarity_of_classes,
)


class QuadAttack(
    AttackMixin,
    CallbackSupportMixin,
    OneToOneFeatureMixin,
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
        logits, or one of these after affine steps in a Pipeline. None stands for
        LogisticRegression.
    k : int, default=1
        Length of the lists, from 1 to the number of classes less one.
    loss : {"quad", "cw", "distillation"}, default="quad"
        What gradient steps go down: the distance to the nearest solution, the
        Carlini-Wagner loss, or the divergence from an adversarial teacher.
    margin : float, default=0.2
        Lead in scores that "quad" asks for. With 0 the solution ties classes, and
        success is not assured.
    confidence : float, default=None
        Lead that "cw" asks for; None means ``margin``, which makes the comparison
        fair. 0 is the paper's baseline.
    class_similarity : array-like of shape (n_classes, n_classes), default=None
        For "distillation": how alike classes are, in [-1, 1]. None takes the cosines
        of the rows of the head.
    alpha : float, default=10.0
        For "distillation": teacher's score of the first target.
    beta : float, default=0.3
        For "distillation": fall of that score from target to target.
    max_iter : int, default=60
        Gradient steps in a binary search step.
    n_search_steps : int, default=1
        Binary search steps over the weight of the loss against the norm.
    coef_upper : float, default=20.0
        Upper end of that search; the first weight is half of it.
    learning_rate : float or "auto", default="auto"
        Step of AdamW. "auto" scales the paper's 2.2e-3 for 3 x 224 x 224 inputs with
        the inverse root of the input's size, from 2e-3 to 0.05 of the input's range.
    warmup_iterations : int, default=5
        After so many steps the optimiser's moments are reset.
    weight_decay : float, default=0.01
        Decay of the perturbation a step, times the learning rate.
    clip_values : tuple (low, high), "data" or None, default=(0, 1)
        Bounds of valid inputs; "data" takes each feature's range in ``fit``.
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
        Whether ``estimator`` is fitted. "auto" fits a clone where it is not. Cloning,
        as in cross-validation, forgets a fit: wrap in FrozenEstimator to keep it.
    image_shape : tuple of int, default=None
        Shape of an input of a torch module; None takes it from X in ``fit``.
    head : str, default=None
        Name of a torch module's last ``nn.Linear``; None takes the last one called.
    batch_size : int, default=256
        Rows that are attacked together.
    n_jobs : int, default=None
        Batches that are attacked at once, on the CPU, by joblib; None means 1 unless in
        a `joblib.parallel_config` context. Scikit-learn models take one BLAS thread a
        batch, so that the number of jobs changes no bit of the result.
    device : str, default="auto"
        Where a torch module is run; "auto" leaves it where it is, else a copy is moved.
    random_state : int, RandomState instance or None, default=None
        Draws random targets and the first perturbations.
    verbose : int, default=0
        1 prints a line a batch.

    Attributes
    ----------
    estimator_ : classifier or torch.nn.Module
        The fitted model under attack.
    classes_ : ndarray of shape (n_classes,)
        Labels in the order of the scores.
    method_ : {"exact", "gradient"}
        What ``method`` came to.
    bounds_ : tuple
        Lower and upper bound of inputs, numbers or arrays of shape (n_features,).
    learning_rate_ : float
        The step that is used.
    n_iter_ : int
        Gradient steps of an attack; 1 if exact.
    last_attack_ : Bunch
        All that is known of the last call of ``transform``, as from ``attack``.
    targets_ : ndarray of shape (n_samples, k)
        Labels aimed at in the last call of ``transform``.
    success_ : ndarray of bool, shape (n_samples,)
        Which rows of it succeeded.
    perturbation_norms_ : ndarray of shape (n_samples,)
        Euclidean lengths of what it added.
    coef_ : ndarray of shape (n_samples,)
        Weight of the loss at its end; NaN for the exact method.
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
        "margin": [Interval(Real, 0, None, closed="left")],
        "confidence": [Interval(Real, 0, None, closed="left"), None],
        "class_similarity": ["array-like", None],
        "alpha": [Real],
        "beta": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "n_search_steps": [Interval(Integral, 1, None, closed="left")],
        "coef_upper": [Interval(Real, 0, None, closed="neither")],
        "learning_rate": [
            Interval(Real, 0, None, closed="neither"),
            StrOptions({"auto"}),
        ],
        "warmup_iterations": [Interval(Integral, 0, None, closed="left")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "clip_values": [tuple, list, StrOptions({"data"}), None],
        "targets": ["array-like", StrOptions({"random"}), None],
        "method": [StrOptions({"auto", "exact", "gradient"})],
        "on_failure": [StrOptions({"original", "last"})],
        "stop_on_success": ["boolean"],
        "prefit": ["boolean", StrOptions({"auto"})],
        "image_shape": [tuple, list, None],
        "head": [str, None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator=None,
        *,
        k=1,
        loss="quad",
        margin=0.2,
        confidence=None,
        class_similarity=None,
        alpha=10.0,
        beta=0.3,
        max_iter=60,
        n_search_steps=1,
        coef_upper=20.0,
        learning_rate="auto",
        warmup_iterations=5,
        weight_decay=0.01,
        clip_values=(0, 1),
        targets=None,
        method="auto",
        on_failure="original",
        stop_on_success=False,
        prefit="auto",
        image_shape=None,
        head=None,
        batch_size=256,
        n_jobs=None,
        device="auto",
        random_state=None,
        verbose=0,
    ):
        self.estimator = estimator
        self.k = k
        self.loss = loss
        self.margin = margin
        self.confidence = confidence
        self.class_similarity = class_similarity
        self.alpha = alpha
        self.beta = beta
        self.max_iter = max_iter
        self.n_search_steps = n_search_steps
        self.coef_upper = coef_upper
        self.learning_rate = learning_rate
        self.warmup_iterations = warmup_iterations
        self.weight_decay = weight_decay
        self.clip_values = clip_values
        self.targets = targets
        self.method = method
        self.on_failure = on_failure
        self.stop_on_success = stop_on_success
        self.prefit = prefit
        self.image_shape = image_shape
        self.head = head
        self.batch_size = batch_size
        self.n_jobs = n_jobs
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

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
        context = self._init_callback_context(max_subtasks=1)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        X, self._image_shape = self._flatten(X)
        self.estimator_ = fitted_model(self, X, y, fit_params, context)
        X = validate_data(self, X, dtype=[np.float64, np.float32])
        if self._image_shape and np.prod(self._image_shape) != X.shape[1]:
            raise ValueError(
                f"image_shape={self._image_shape} does not hold the {X.shape[1]} "
                "features of X."
            )
        self.bounds_ = bounds_of(self.clip_values, X)
        check_within(X, self.bounds_)
        self._read_head(X)
        self.learning_rate_ = learning_rate_for(self.learning_rate, X, self.bounds_)
        is_exact = self.method_ == "exact"
        self.n_iter_ = 1 if is_exact else self.n_search_steps * self.max_iter
        self.last_attack_ = Bunch()
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def _flatten(self, X):
        shape = self.image_shape
        if getattr(X, "ndim", 2) > 2:
            X = np.asarray(X)
            shape = X.shape[1:]
            X = X.reshape(len(X), -1)
        return X, None if shape is None else tuple(shape)

    def _read_head(self, X):
        head = linear_head(
            self.estimator_, X[:2], head=self.head, input_shape=self._image_shape
        )
        n_classes = len(head.classes)
        if self.k > n_classes - 1:
            raise ValueError(
                f"k must be between 1 and {n_classes - 1}, the number of classes less "
                f"one, got {self.k}."
            )
        if self.method == "exact" and not (head.is_linear and self.loss == "quad"):
            raise ValueError(
                "method='exact' needs a linear model and loss='quad', got "
                f"{type(self.estimator_).__name__} and loss={self.loss!r}."
            )
        wants_exact = self.method != "gradient" and self.loss == "quad"
        self.method_ = "exact" if wants_exact and head.is_linear else "gradient"
        self.classes_, self._head = head.classes, head
        self._gram = gram_of(head.weight)
        if self.loss == "distillation":
            similarity = self.class_similarity
            if similarity is None:
                similarity = cosine_similarity_of_classes(self._gram)
            if not isinstance(similarity, FactoredGram):
                similarity = head.prepare(similarity)
            self._similarity = similarity
            check_teacher(self._similarity, self.k, self.alpha, self.beta)

    def get_metadata_routing(self):
        """Route what ``fit`` is given to the estimator."""
        return (
            MetadataRouter(owner=self)
            .add_self_request(self)
            .add(
                estimator=self.estimator,
                method_mapping=MethodMapping().add(caller="fit", callee="fit"),
            )
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self.prefit is False or not is_fitted(
            self.estimator
        )
        return tags
