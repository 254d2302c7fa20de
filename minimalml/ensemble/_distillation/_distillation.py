"""One small model in place of many: fitted to the mean of what teachers say, not to labels.

Shen, Savvides: "MEAL V2: Boosting Vanilla ResNet-50 to 80%+ Top-1 Accuracy on ImageNet without
Tricks", 2020.
"""

import numpy as np
from scipy.special import rel_entr
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.metrics import r2_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from minimalml._core.array_checks import encode_labels, unique_labels
from minimalml._core.validation import StrOptions
from minimalml.ensemble._distillation._distilled import DistillationEstimator
from minimalml.ensemble._distillation._documentation import document_distillation
from minimalml.ensemble._distillation._soft_targets import check_probabilities
from minimalml.ensemble._distillation._teachers import check_methods

# Smaller probabilities have the logarithm of this one, in divergences and log losses.
SMALLEST = np.finfo(np.float64).tiny


@document_distillation
class EnsembleDistillationClassifier(ClassifierMixin, DistillationEstimator):
    """Fit one small classifier to the mean of several teachers' probabilities.

    For a forest, a boosting and a network that are good and heavy, where one light model
    shall predict. It costs the teachers' fits (once more for each of ``cv`` folds) and the
    student's. Labels alone are better where the student can be trained on as many labelled
    rows as the teachers can label, and cheaper where no teacher beats it.

    Parameters
    ----------
    teachers : list of estimators or of (str, estimator) pairs, default=None
        Classifiers with ``predict_proba`` or ``decision_function``. None: random forest,
        histogram gradient boosting and multi-layer perceptron of scikit-learn.

    student : estimator, default=None
        None is a network, of ``hidden_layer_sizes`` or ``module``. Else a classifier whose
        ``fit`` takes ``sample_weight``, or a Pipeline that ends in one: it gets each row
        once for each class, and so do earlier steps, without weights. Or a regressor of
        several targets, fitted on the probabilities.

    discriminator : {"adversarial"} or None, default=None
        Whether a small network tells student and teachers apart by their logits, and the
        student learns to mislead it. The paper has it; with few classes it changes little.

    Attributes
    ----------
    soft_targets_ : ndarray of shape (n_samples + n_unlabeled, n_classes)
        What the student was fitted to, float32.

    kl_ : float
        Mean divergence KL(target || student) over these rows; 0 is perfect imitation.

    fidelity_ : float
        Share of these rows on which student and targets have the same largest class.

    classes_ : ndarray of shape (n_classes,)
        Labels of y and of the teachers, sorted.

    See Also
    --------
    sklearn.ensemble.VotingClassifier : Predicts with the teachers themselves.
    soft_targets : The mean alone.

    Notes
    -----
    Minimises the cross-entropy with the targets ``p``, whose gradient in the logits ``s`` is
    that of KL(p || softmax(s)), softmax(s) less p.

    References
    ----------
    .. [1] Z. Shen, M. Savvides, "MEAL V2: Boosting Vanilla ResNet-50 to 80%+ Top-1 Accuracy
       on ImageNet without Tricks", 2020. arXiv:2009.08453

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from sklearn.linear_model import LogisticRegression
    >>> from minimalml.ensemble import EnsembleDistillationClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = EnsembleDistillationClassifier(
    ...     [RandomForestClassifier(30, random_state=0)], LogisticRegression(max_iter=1000))
    >>> model.fit(X, y).score(X, y) > 0.9
    True
    """

    _parameter_constraints = {
        **DistillationEstimator._parameter_constraints,
        "discriminator": [StrOptions({"adversarial"}), None],
    }
    _default_teachers = (RandomForestClassifier, HistGradientBoostingClassifier,
                         MLPClassifier)  # fmt: skip
    _figures = ("accuracy", "log_loss"), ("fidelity", "kl")

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
        discriminator=None,
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
        super().__init__(
            teachers, student, prefit=prefit, cv=cv, teacher_weights=teacher_weights,
            init_student=init_student, hard_label_weight=hard_label_weight,
            augment=augment, hidden_layer_sizes=hidden_layer_sizes, module=module,
            max_epochs=max_epochs, batch_size=batch_size, learning_rate=learning_rate,
            weight_decay=weight_decay, training=training, device=device,
            random_state=random_state, n_jobs=n_jobs, verbose=verbose,
        )  # fmt: skip
        self.discriminator = discriminator

    def predict_proba(self, X):
        """Predict the probability of each class, by the student alone.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Probabilities in the order of ``classes_``.
        """
        return self._predict(X)

    def _adopt(self, teachers, y):
        """Take the classes of y, and of teachers that are fitted."""
        check_classification_targets(y)
        check_methods(teachers, "predict_proba", "decision_function")
        found, _ = unique_labels(y)
        known = [teacher.classes_ for _, teacher in teachers] if self.prefit else []
        for (name, _), classes in zip(teachers, known, strict=False):
            if not np.isin(classes, found).any():
                raise ValueError(
                    f"teacher {name!r} knows the classes {list(classes)}, none of which "
                    f"is in y: {found.tolist()}."
                )
        self.classes_ = np.unique(np.concatenate([found, *known]))
        if self._is_constant and not self.prefit:  # which many classifiers refuse
            return [(name, DummyClassifier()) for name, _ in teachers]
        return teachers

    def _labels(self, y):
        """Return a one in the column of each row's class."""
        codes = encode_labels(y, self.classes_)
        return np.eye(len(self.classes_), dtype=np.float32)[codes]

    def _check_targets(self, P):
        P = check_probabilities(P, name="P")
        self.classes_ = np.arange(P.shape[1])
        return P.astype(np.float32)

    def _compare(self, says, targets, weight=None):
        """Return the share of equal largest classes, and KL(targets || says)."""
        agrees = says.argmax(axis=1) == targets.argmax(axis=1)
        P = np.clip(says, SMALLEST, None, dtype=np.float64)
        divergence = rel_entr(targets, P, dtype=np.float64).sum(axis=1)
        return [np.average(values, weights=weight) for values in (agrees, divergence)]


@document_distillation
class EnsembleDistillationRegressor(RegressorMixin, DistillationEstimator):
    """Fit one small regressor to the mean of several teachers' predictions.

    As `EnsembleDistillationClassifier`, whose paper is about classes alone, by the squared
    error of standardised targets.

    Parameters
    ----------
    teachers : list of estimators or of (str, estimator) pairs, default=None
        Regressors. None: random forest, histogram gradient boosting and multi-layer
        perceptron of scikit-learn.

    student : estimator, default=None
        None is a network, of ``hidden_layer_sizes`` or ``module``; else a regressor.

    Attributes
    ----------
    soft_targets_ : ndarray of shape (n_samples + n_unlabeled,)
        What the student was fitted to.

    fidelity_ : float
        R² of the student's predictions of these.

    See Also
    --------
    EnsembleDistillationClassifier : The same for classes.

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

    _default_teachers = (RandomForestRegressor, HistGradientBoostingRegressor,
                         MLPRegressor)  # fmt: skip
    _figures = ("r2", "squared_error"), ("fidelity",)

    def _adopt(self, teachers, y):
        check_methods(teachers, "predict")
        return teachers

    def _labels(self, y):
        return column_or_1d(y).astype(np.float64)

    def _check_targets(self, P):
        P = column_or_1d(P, warn=True)
        return check_array(P, ensure_2d=False, dtype=np.float64, input_name="P")

    def _compare(self, says, targets, weight=None):
        """Return R², which of one row is not defined, and the mean squared error."""
        r2 = r2_score(targets, says, sample_weight=weight) if len(says) > 1 else np.nan
        return r2, np.average((says - targets) ** 2, weights=weight)
