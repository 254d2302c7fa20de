"""One small model in place of many: fitted to the mean of what teachers say, not to labels.

Shen, Savvides: "MEAL V2: Boosting Vanilla ResNet-50 to 80%+ Top-1 Accuracy on ImageNet without
Tricks", 2020.
"""

from functools import partial

import numpy as np
from scipy.special import xlogy
from sklearn.base import ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.utils.multiclass import check_classification_targets

from minimalml._core.array_checks import encode_labels, unique_labels
from minimalml._core.training.documentation import document_training
from minimalml._core.validation import StrOptions, check_is_fitted
from minimalml.ensemble._distillation._distilled import DistillationEstimator
from minimalml.ensemble._distillation._soft_labels import (
    check_student,
    fit_on_probabilities,
    student_probabilities,
)
from minimalml.ensemble._distillation._soft_targets import check_probabilities
from minimalml.ensemble._distillation._student_network import StudentClassifier
from minimalml.ensemble._distillation._teachers import (
    check_methods,
    teacher_probabilities,
)

# Smaller probabilities have the logarithm of this one, in divergences and log losses.
SMALLEST = np.finfo(np.float64).tiny


@document_training
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

    prefit : bool, default=False
        Whether teachers are used as they are; else clones are fitted.

    cv : int, cross-validation generator or None, default=5
        Folds for the targets of the rows of ``fit``, so that no teacher speaks of rows that
        it was fitted on; without effect if ``prefit``. None: in sample.

    teacher_weights : array-like of shape (n_teachers,), default=None
        What a teacher counts in the mean.

    init_student : {"pretrain"} or None, default="pretrain"
        Whether a network is trained on the labels first, by as many epochs, and goes on
        from there; estimators as students have no such start.

    hard_label_weight : float, default=0.0
        Share of the labels in the loss, in [0, 1]; the paper finds them needless.

    discriminator : {"adversarial"} or None, default=None
        Whether a small network tells student and teachers apart by their logits, and the
        student learns to mislead it. The paper has it; with few classes it changes little.

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

    soft_targets_ : ndarray of shape (n_samples + n_unlabeled, n_classes)
        What the student was fitted to, float32.

    kl_ : float
        Mean divergence KL(target || student) over these rows; 0 is perfect imitation.

    fidelity_ : float
        Share of these rows on which student and targets have the same largest class.

    classes_ : ndarray of shape (n_classes,)
        Labels of y and of the teachers, sorted.

    loss_curve_ : list of float
        Loss of each epoch on the targets, of a network.

    n_iter_ : int
        Number of these epochs.

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
    _is_classifier = True

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
        self.teachers = teachers
        self.student = student
        self.prefit = prefit
        self.cv = cv
        self.teacher_weights = teacher_weights
        self.init_student = init_student
        self.hard_label_weight = hard_label_weight
        self.discriminator = discriminator
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
        """Predict class labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels among ``classes_``.
        """
        columns = self.predict_proba(X).argmax(axis=1)
        return self.classes_[columns]

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
        X = self._predicting_rows(X)
        return self._student_says(X).astype(X.dtype, copy=False)

    def report(self, X, y):
        """Compare the teachers, their mean, and the student on some rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        y : array-like of shape (n_samples,)
            Their labels.

        Returns
        -------
        dict of str to ndarray of shape (n_teachers + 2,)
            ``model``, ``seconds`` to predict, pickled ``bytes``, ``accuracy``,
            ``log_loss``; and beside the teachers' mean ``fidelity``, the share of equal
            largest classes, and ``kl``, the mean divergence from it.
        """
        check_is_fitted(self)
        codes = encode_labels(y, self.classes_)

        def score(P, mean):
            return {
                "accuracy": (P.argmax(axis=1) == codes).mean(),
                "log_loss": -_log(P[np.arange(len(P)), codes]).mean(),
                "fidelity": (P.argmax(axis=1) == mean.argmax(axis=1)).mean(),
                "kl": divergence(mean, P).mean(),
            }

        return self._report(X, codes, score)

    def _student_says(self, X):
        return student_probabilities(self.student_, X, self.classes_)

    @property
    def _is_adversarial(self):
        return self.discriminator is not None

    @property
    def _is_constant(self):
        return len(self.classes_) == 1

    def _default_teachers(self):
        return [
            RandomForestClassifier(), HistGradientBoostingClassifier(), MLPClassifier()
        ]  # fmt: skip

    def _constant(self):
        return DummyClassifier()

    def _check_student(self, student):
        check_student(student)

    def _network(self, **parameters):
        network = StudentClassifier(**parameters)
        network.classes_ = self.classes_
        return network

    def _adopt(self, teachers, y):
        """Take the classes of y, and of teachers that are fitted."""
        check_classification_targets(y)
        check_methods(teachers)
        found, _ = unique_labels(y)
        for name, teacher in teachers if self.prefit else []:
            if not np.isin(teacher.classes_, found).any():
                raise ValueError(
                    f"teacher {name!r} knows the classes {list(teacher.classes_)}, none of "
                    f"which is in y: {found.tolist()}."
                )
        known = [teacher.classes_ for _, teacher in teachers] if self.prefit else []
        self.classes_ = np.unique(np.concatenate([found, *known]))
        if self._is_constant and not self.prefit:  # which many classifiers refuse
            return [(name, DummyClassifier()) for name, _ in teachers]
        return teachers

    def _answer(self):
        return partial(teacher_probabilities, classes=self.classes_)

    def _labels(self, y):
        return np.eye(len(self.classes_), dtype=np.float32)[
            encode_labels(y, self.classes_)
        ]

    def _as_targets(self, mean):
        return mean.astype(np.float32)

    def _check_targets(self, P, X):
        P = check_probabilities(P, name="P")
        if len(P) != X.shape[0]:
            raise ValueError(f"P has {len(P)} rows but X has {X.shape[0]}.")
        self.classes_ = np.arange(P.shape[1])
        return self._as_targets(P)

    def _set_scale(self, network, targets, weight):
        """Leave probabilities as they are."""

    def _scaled(self, network, targets):
        return targets

    def _fit_estimator(self, student, X, targets, weight):
        return fit_on_probabilities(student, X, targets, weight, self.classes_)

    def _measure_imitation(self, X, weight):
        says, targets = self._student_says(X), self.soft_targets_
        agrees = says.argmax(axis=1) == targets.argmax(axis=1)
        self.kl_ = float(np.average(divergence(targets, says), weights=weight))
        self.fidelity_ = float(np.average(agrees, weights=weight))
        if self.verbose:
            print(f"student: KL {self.kl_:.4g}, same class {self.fidelity_:.1%}")


def divergence(targets, P):
    """Return KL(target || P) of each row."""
    targets = targets.astype(np.float64)
    return (xlogy(targets, targets) - targets * _log(P)).sum(axis=1)


def _log(P):
    return np.log(np.clip(P, SMALLEST, None, dtype=np.float64))
