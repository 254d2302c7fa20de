"""The same for numbers: the student learns the mean of the teachers' predictions."""

import numpy as np
from sklearn.base import RegressorMixin, is_regressor
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.metrics import r2_score
from sklearn.neural_network import MLPRegressor
from sklearn.utils import column_or_1d

from minimalml._core.array_checks import check_targets
from minimalml._core.training.documentation import document_training
from minimalml._core.training.network import standard_scale
from minimalml._core.validation import check_is_fitted
from minimalml.ensemble._distillation._distilled import DistillationEstimator
from minimalml.ensemble._distillation._student_network import StudentRegressor
from minimalml.ensemble._distillation._teachers import fit_weighted, teacher_predictions


@document_training
class EnsembleDistillationRegressor(RegressorMixin, DistillationEstimator):
    """Fit one small regressor to the mean of several teachers' predictions.

    As `EnsembleDistillationClassifier`, by the squared error of standardised targets.

    Parameters
    ----------
    teachers : list of estimators or of (str, estimator) pairs, default=None
        Regressors. None: random forest, histogram gradient boosting and multi-layer
        perceptron of scikit-learn.

    student : estimator, default=None
        None is a network, of ``hidden_layer_sizes`` or ``module``; else a regressor.

    prefit : bool, default=False
        Whether teachers are used as they are; else clones are fitted.

    cv : int, cross-validation generator or None, default=5
        Folds for the targets of the rows of ``fit``, so that no teacher speaks of rows that
        it was fitted on; without effect if ``prefit``. None: in sample.

    teacher_weights : array-like of shape (n_teachers,), default=None
        What a teacher counts in the mean.

    init_student : {"pretrain"} or None, default="pretrain"
        Whether a network is trained on y first, and goes on from there.

    hard_label_weight : float, default=0.0
        Share of y in the loss, in [0, 1].

    augment : callable, default=None
        ``augment(X, rng) -> X'`` draws other rows for each epoch from ``rng``, a NumPy
        generator. The teachers are asked about these, in sample. For a network.

    n_jobs : int, default=None
        Jobs that fit teachers, by joblib.

    Attributes
    ----------
    teachers_ : list of estimators
        Fitted, on all rows.

    student_ : estimator
        The fitted student.

    soft_targets_ : ndarray of shape (n_samples + n_unlabeled,)
        What the student was fitted to.

    fidelity_ : float
        R² of the student's predictions of these.

    loss_curve_ : list of float
        Loss of each epoch on the targets, of a network.

    n_iter_ : int
        Number of these epochs.

    See Also
    --------
    EnsembleDistillationClassifier : The same for classes.

    References
    ----------
    .. [1] Z. Shen, M. Savvides, "MEAL V2: Boosting Vanilla ResNet-50 to 80%+ Top-1 Accuracy
       on ImageNet without Tricks", 2020. arXiv:2009.08453

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> from sklearn.tree import DecisionTreeRegressor
    >>> from minimalml.ensemble import EnsembleDistillationRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = EnsembleDistillationRegressor(
    ...     [RandomForestRegressor(30, random_state=0)], DecisionTreeRegressor(max_depth=4))
    >>> model.fit(X, y).fidelity_ > 0.7
    True
    """

    _is_classifier = False
    _is_constant = False
    _target_options = {"y_numeric": True}

    def __init__(
        self,
        teachers=None,
        student=None,
        *,
        prefit=False,
        cv=5,
        teacher_weights=None,
        init_student="pretrain",
        hard_label_weight=0.0,
        augment=None,
        hidden_layer_sizes=(32,),
        module=None,
        max_epochs=100,
        batch_size="auto",
        learning_rate=1e-3,
        weight_decay=0.0,
        training=None,
        device="auto",
        random_state=None,
        n_jobs=None,
        verbose=0,
    ):
        self.teachers = teachers
        self.student = student
        self.prefit = prefit
        self.cv = cv
        self.teacher_weights = teacher_weights
        self.init_student = init_student
        self.hard_label_weight = hard_label_weight
        self.augment = augment
        self.hidden_layer_sizes = hidden_layer_sizes
        self.module = module
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.training = training
        self.device = device
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    def predict(self, X):
        """Predict targets, by the student alone.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples,)
            Targets.
        """
        X = self._predicting_rows(X)
        return self._student_says(X).astype(X.dtype, copy=False)

    def report(self, X, y):
        """Compare the teachers, their mean, and the student on some rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        y : array-like of shape (n_samples,)
            Their targets.

        Returns
        -------
        dict of str to ndarray of shape (n_teachers + 2,)
            ``model``, ``seconds`` to predict, pickled ``bytes``, ``r2``,
            ``squared_error``; and ``fidelity``, R² beside the teachers' mean.
        """
        check_is_fitted(self)
        y = column_or_1d(y).astype(np.float64)

        def score(predicted, mean):
            return {
                "r2": r2_score(y, predicted),
                "squared_error": ((predicted - y) ** 2).mean(),
                "fidelity": r2_score(mean, predicted),
            }

        return self._report(X, y, score)

    def _student_says(self, X):
        return np.asarray(self.student_.predict(X)).reshape(X.shape[0])

    def _default_teachers(self):
        return [
            RandomForestRegressor(), HistGradientBoostingRegressor(), MLPRegressor()
        ]  # fmt: skip

    def _check_student(self, student):
        if not is_regressor(student):
            raise TypeError(
                f"student must be a regressor, got {type(student).__name__}."
            )

    def _network(self, **parameters):
        network = StudentRegressor(**parameters)
        network._is_single, network.n_outputs_ = True, 1
        return network

    def _adopt(self, teachers, y):
        for name, teacher in teachers:
            if not hasattr(teacher, "predict"):
                raise TypeError(
                    f"teacher {name!r} ({type(teacher).__name__}) needs predict."
                )
        return teachers

    def _answer(self):
        return teacher_predictions

    def _labels(self, y):
        return y.astype(np.float64)

    def _as_targets(self, mean):
        return mean

    def _check_targets(self, P, X):
        return check_targets(column_or_1d(P, warn=True), X, name="P").astype(np.float64)

    def _set_scale(self, network, targets, weight):
        """Let the network learn targets less their mean, by their deviation."""
        scale = standard_scale(targets[:, None], weight)
        network.target_mean_, network.target_scale_ = scale

    def _scaled(self, network, targets):
        return (targets[:, None] - network.target_mean_) / network.target_scale_

    def _fit_estimator(self, student, X, targets, weight):
        return fit_weighted(student, X, targets, weight, "the student")

    def _measure_imitation(self, X, weight):
        says = self._student_says(X)
        self.fidelity_ = float("nan")  # of one row, R² is not defined
        if len(says) > 1:
            self.fidelity_ = r2_score(self.soft_targets_, says, sample_weight=weight)
        if self.verbose:
            print(f"student: R² {self.fidelity_:.4f} of the targets")
