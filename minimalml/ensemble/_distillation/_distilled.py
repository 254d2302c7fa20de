"""What both distillers do: ask the teachers, mix their answers, and fit the student."""

from functools import partial

import numpy as np
from sklearn.base import BaseEstimator, clone, is_classifier, is_regressor
from sklearn.dummy import DummyClassifier
from sklearn.utils import check_consistent_length, check_random_state, get_tags
from sklearn.utils.metaestimators import _BaseComposition

from minimalml._core.array_checks import check_weights
from minimalml._core.callbacks import CallbackSupportMixin, fit_task, with_callbacks
from minimalml._core.training.network import FLOATS, NetworkEstimator
from minimalml._core.validation import (
    HasMethods,
    Integral,
    Interval,
    Real,
    StrOptions,
    _fit_context,
    check_is_fitted,
    validate_data,
)
from minimalml.ensemble._distillation._soft_labels import (
    check_student,
    fit_student,
    student_answer,
)
from minimalml.ensemble._distillation._soft_targets import join_rows, mix_labels
from minimalml.ensemble._distillation._student_network import (
    StudentMixin,
    student_network,
)
from minimalml.ensemble._distillation._teachers import (
    Panel,
    check_prefit,
    is_named,
    name_teachers,
    refuse_missing,
    set_seeds,
)


class DistillationEstimator(CallbackSupportMixin, _BaseComposition, BaseEstimator):
    """Teachers, targets and student.

    A subclass says what teachers and targets may be, and compares answers by ``_compare``;
    ``_figures`` names what that returns beside y, and beside the teachers' mean.
    """

    discriminator = None  # a parameter of the classifier

    _parameter_constraints = {
        **{name: allowed for name, allowed in NetworkEstimator._parameter_constraints.items()
           if name not in ("activation", "early_stopping", "warm_start")},
        "teachers": [list, tuple, None],
        "student": [HasMethods(["fit", "predict"]), None],
        "prefit": ["boolean"],
        "cv": ["cv_object"],
        "teacher_weights": ["array-like", None],
        "init_student": [StrOptions({"pretrain"}), None],
        "hard_label_weight": [Interval(Real, 0, 1, closed="both")],
        "augment": [callable, None],
        "n_jobs": [Integral, None],
    }  # fmt: skip

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

    def get_params(self, deep=True):
        """Get parameters, those of named teachers as ``name__parameter`` too.

        Parameters
        ----------
        deep : bool, default=True
            Whether to return parameters of teachers, student and training.

        Returns
        -------
        dict
        """
        if is_named(self.teachers):
            return self._get_params("teachers", deep=deep)
        return super().get_params(deep=deep)

    def set_params(self, **params):
        """Set parameters, those of named teachers as ``name__parameter`` too.

        Parameters
        ----------
        **params : dict
            A teacher's name alone replaces it.

        Returns
        -------
        self : object
        """
        if is_named(params.get("teachers", self.teachers)):
            return self._set_params("teachers", **params)
        return super().set_params(**params)

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, sample_weight=None, X_unlabeled=None):
        """Fit the teachers, and the student on the mean of what they say.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs, scaled where the student is a network. Sparse, and with missing values,
            where teachers and student take such.

        y : array-like of shape (n_samples,)
            Labels or targets: for the teachers, and for the student's start.

        sample_weight : array-like of shape (n_samples,), default=None
            What a row counts, for teachers and student.

        X_unlabeled : {array-like, sparse matrix} of shape (n_unlabeled, n_features), \
                default=None
            More inputs, which teachers label and which weigh 1 each. They belong to no row
            of ``X``; cross-validation passes them on whole, unless there are as many.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ImportError
            If the student is a network and torch is not installed.
        TypeError
            If teachers or student lack a method or do not take weights that are given.
        ValueError
            If parameters do not go together, or shapes do not fit.
        sklearn.exceptions.NotFittedError
            If ``prefit=True`` and a teacher is not fitted.
        """
        given, teachers = X, name_teachers(self._given_teachers())
        try:
            self._validate_names([name for name, _ in teachers])
        except ValueError as error:
            raise ValueError(f"teachers: {error}") from None
        X, y = self._check_rows(X, reset=True, y=y, y_numeric=is_regressor(self))
        weight = check_weights(sample_weight, X)
        extra = None if X_unlabeled is None else self._check_rows(X_unlabeled)
        generator = check_random_state(self.random_state)
        if self.prefit:
            check_prefit(teachers, X.shape[1])
        else:
            teachers = [(name, set_seeds(clone(t), generator)) for name, t in teachers]
        teachers = self._adopt(teachers, y)
        self._panel = Panel(teachers, self.teacher_weights, self._classes)
        student = self._prepare_student(generator)
        with fit_task(self, X, y, 3) as task:
            with task.step("teachers", attributes=None):
                rows = [self._as_given(given, X), self._as_given(X_unlabeled, extra)]
                targets = self._ask_teachers(*rows, y, weight)
            X, weight = join_rows(X, extra, weight, 1.0 - self.hard_label_weight)
            self._fit_student(student, X, targets, self._labels(y), weight, task)
        return self

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=False)
    def fit_soft(self, X, P, sample_weight=None):
        """Fit the student on given targets, without teachers or labels.

        A network starts from scratch, or from the weights of ``module``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        P : array-like of shape (n_samples, n_classes) or (n_samples,)
            Probabilities of classes 0, 1, and so on; or targets of a regressor.

        sample_weight : array-like of shape (n_samples,), default=None
            What a row counts.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If rows of probabilities are negative, or do not sum to 1.
        """
        if self.augment is not None or self.hard_label_weight > 0:
            raise ValueError(
                "fit_soft has neither teachers nor labels: augment must be None and "
                f"hard_label_weight 0, got {self.augment!r} and {self.hard_label_weight}."
            )
        X = self._check_rows(X, reset=True)
        targets = self._check_targets(P)
        check_consistent_length(X, targets)
        weight = check_weights(sample_weight, X)
        student = self._prepare_student(check_random_state(self.random_state))
        self.teachers_ = []
        with fit_task(self, X, targets, 1) as task:
            self._fit_student(student, X, targets, None, weight, task)
        return self

    def predict(self, X):
        """Predict labels or targets, by the student alone.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels among ``classes_``, or targets.
        """
        says = self._predict(X)
        return self.classes_[says.argmax(axis=1)] if is_classifier(self) else says

    def _predict(self, X):
        check_is_fitted(self)
        X = self._check_rows(X)
        return self._student_says(X).astype(X.dtype, copy=False)

    def _student_says(self, X):
        return student_answer(self.student_, X, self._classes)

    def report(self, X, y):
        """Compare the teachers, their mean, and the student on some rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        y : array-like of shape (n_samples,)
            Their labels or targets.

        Returns
        -------
        dict of str to ndarray of shape (n_teachers + 2,)
            ``model``, ``seconds`` to predict, pickled ``bytes``; by y ``accuracy`` and
            ``log_loss``, or ``r2`` and ``squared_error``; by the teachers' mean
            ``fidelity`` and of a classifier ``kl``, as among the attributes.
        """
        check_is_fitted(self)
        if not self.teachers_:
            raise ValueError("report compares with teachers, and fit_soft had none.")
        rows, labels = self._check_rows(X), self._labels(y)
        check_consistent_length(rows, labels)
        ask_student = partial(self._student_says, rows)
        given = self._as_given(X, rows)
        table, answers = self._panel.compare(given, self.student_, ask_student)
        for names, targets in zip(self._figures, (labels, answers[-2]), strict=True):
            figures = [self._compare(answer, targets) for answer in answers]
            table |= zip(names, zip(*figures, strict=True), strict=False)
        return {name: np.array(column) for name, column in table.items()}

    def _check_rows(self, X, *, reset=False, **y):
        """Return rows, and y, as arrays; refuse NaN by the name of who takes none."""
        checked = validate_data(
            self, X, reset=reset, dtype=FLOATS, ensure_all_finite="allow-nan",
            accept_sparse="csr" if get_tags(self).input_tags.sparse else False, **y,
        )  # fmt: skip
        refuse_missing(checked[0] if y else checked, self._parts(), type(self).__name__)
        return checked

    def _parts(self):
        """Who sees rows, with names; None is the network."""
        teachers = self._given_teachers()
        alone = [t for _, t in teachers] if is_named(teachers) else teachers
        named = [(f"the teacher {type(t).__name__}", t) for t in alone]
        who = "the network student" if self.student is None else "the student"
        return [*named, (who, self.student)]

    def _given_teachers(self):
        if self.teachers is not None:
            return self.teachers
        return [make() for make in self._default_teachers]

    @property
    def _classes(self):
        return self.classes_ if is_classifier(self) else None

    @property
    def _is_constant(self):
        return is_classifier(self) and len(self.classes_) == 1

    def _prepare_student(self, generator):
        """Return the student before its fit, and refuse what does not go with it."""
        if self._is_constant:
            return DummyClassifier()
        if self.student is not None:
            if self.discriminator is not None or self.augment is not None:
                raise ValueError(
                    "discriminator and augment are for the network, student=None; got "
                    f"student={type(self.student).__name__}."
                )
            check_student(self.student, self._classes)
            return set_seeds(clone(self.student), generator)
        return student_network(self, seed=int(generator.randint(2**31 - 1)))

    def _as_given(self, given, X):
        """Rows for teachers: frames as frames, everything else as validated."""
        return given if hasattr(given, "columns") and self.augment is None else X

    def _ask_teachers(self, X, extra, y, weight):
        """Return the mean of the teachers' answers to labelled and other rows."""
        if self.prefit:
            targets = self._panel.targets(X)
        else:
            cv = self.cv if self.augment is None and not self._is_constant else None
            targets = self._panel.fit(X, y, weight, cv, self.n_jobs)
        self.teachers_ = self._panel.members
        if extra is not None:
            targets = np.concatenate([targets, self._panel.targets(extra)])
        return targets

    def _fit_student(self, student, X, targets, labels, weight, task):
        """Fit the student, and measure how well it imitates."""
        self.soft_targets_, rows = targets, np.arange(len(targets))
        mixed = mix_labels(targets, labels, self.hard_label_weight, rows)
        if isinstance(student, StudentMixin):
            self.student_ = student  # which callbacks see from its second stage on
            student.distil(
                X, mixed, weight, task,
                labels=None if self.init_student is None else labels,
                teachers=None if self.discriminator is None else targets,
                augment=self.augment, ask=partial(self._ask_about, labels),
            )  # fmt: skip
        else:
            with task.step("student", inner=student):
                self.student_ = fit_student(student, X, mixed, weight, self._classes)
        figures = self._compare(self._student_says(X), targets, weight)
        for name, figure in zip(self._figures[1], figures, strict=False):
            setattr(self, f"{name}_", float(figure))
            if self.verbose:
                print(f"student: {name} {figure:.4g}")

    def _ask_about(self, labels, rows, drawn):
        """Return what a network learns of drawn rows, and a discriminator."""
        targets = self._panel.targets(drawn)
        mixed = mix_labels(targets, labels, self.hard_label_weight, rows)
        return {"y": mixed, "teachers": targets}

    @property
    def loss_curve_(self):
        """Training loss of each epoch, of a network student."""
        return self.student_.loss_curve_

    @property
    def n_iter_(self):
        """Epochs of a network student on the targets."""
        return self.student_.n_iter_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        parts = [part for _, part in self._parts()]
        inputs = [None if part is None else get_tags(part).input_tags for part in parts]
        tags.input_tags.sparse = all(part is None or part.sparse for part in inputs)
        tags.input_tags.allow_nan = all(part and part.allow_nan for part in inputs)
        return tags
