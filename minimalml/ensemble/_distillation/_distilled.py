"""What both distillers do: ask the teachers, mix their answers, and fit the student."""

from functools import partial

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.metaestimators import _BaseComposition

from minimalml._core.callbacks import CallbackSupportMixin, fit_task, with_callbacks
from minimalml._core.training.estimator import TRAINING_CONSTRAINTS
from minimalml._core.training.network import FLOATS, NetworkEstimator
from minimalml._core.training.settings import Training
from minimalml._core.validation import (
    HasMethods,
    Integral,
    Interval,
    Real,
    StrOptions,
    _fit_context,
    check_is_fitted,
    check_sample_weight,
    validate_data,
)
from minimalml.ensemble._distillation._report import compare
from minimalml.ensemble._distillation._soft_targets import (
    join_rows,
    mean_of_teachers,
    mix_labels,
)
from minimalml.ensemble._distillation._student_network import dense_rows
from minimalml.ensemble._distillation._teachers import (
    check_prefit,
    fit_teachers,
    is_named,
    make_folds,
    name_teachers,
    refuse_missing,
    set_seeds,
)

# Settings of the network that go to it as they are.
OF_THE_NETWORK = ("hidden_layer_sizes", "module", "max_epochs", "batch_size",
                  "learning_rate", "weight_decay", "device", "verbose")  # fmt: skip


class DistillationEstimator(CallbackSupportMixin, _BaseComposition, BaseEstimator):
    """Teachers, targets and student; a subclass says what an answer and a label are."""

    _parameter_constraints = {
        **{n: c for n, c in TRAINING_CONSTRAINTS.items() if n not in ("early_stopping", "warm_start")},
        **{n: NetworkEstimator._parameter_constraints[n] for n in ("hidden_layer_sizes", "module")},
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
    _is_adversarial = False
    _target_options = {}

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
        X, y = validate_data(
            self, X, y, **self._input_options(), **self._target_options
        )
        refuse_missing(X, self._parts(), type(self).__name__)
        weight = checked_weight(sample_weight, X)
        extra = None if X_unlabeled is None else self._check_rows(X_unlabeled)
        generator = check_random_state(self.random_state)
        teachers = self._prepare_teachers(teachers, X, y, generator)
        student = self._prepare_student(generator)
        with fit_task(self, X, y, 3) as task:
            with task.step("teachers", attributes=None):
                rows = [self._as_given(given, X), self._as_given(X_unlabeled, extra)]
                targets = self._ask_teachers(teachers, rows, y, weight)
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
        X = validate_data(self, X, **self._input_options())
        refuse_missing(X, self._parts(), type(self).__name__)
        targets = self._check_targets(P, X)
        weight = checked_weight(sample_weight, X)
        student = self._prepare_student(check_random_state(self.random_state))
        self.teachers_, self._names = [], []
        with fit_task(self, X, targets, 1) as task:
            self._fit_student(student, X, targets, None, weight, task)
        return self

    def _input_options(self):
        """How rows are validated; missing values are refused afterwards, by name."""
        sparse = get_tags(self).input_tags.sparse
        return {
            "accept_sparse": "csr" if sparse else False,
            "ensure_all_finite": "allow-nan",
            "dtype": FLOATS,
        }

    def _check_rows(self, X):
        X = validate_data(self, X, reset=False, **self._input_options())
        refuse_missing(X, self._parts(), type(self).__name__)
        return X

    def _parts(self):
        """Who sees rows, with names; None is the network."""
        teachers = self._given_teachers()
        alone = [t for _, t in teachers] if is_named(teachers) else teachers
        named = [(f"the teacher {type(t).__name__}", t) for t in alone]
        who = "the network student" if self.student is None else "the student"
        return [*named, (who, self.student)]

    def _given_teachers(self):
        return self._default_teachers() if self.teachers is None else self.teachers

    def _prepare_teachers(self, teachers, X, y, generator):
        """Return named teachers, ready to be fitted, and set what answers are about."""
        if self.prefit:
            check_prefit(teachers, X.shape[1])
        else:
            teachers = [(name, set_seeds(clone(t), generator)) for name, t in teachers]
        return self._adopt(teachers, y)

    def _prepare_student(self, generator):
        """Return the student before its fit, and refuse what does not go with it."""
        if self._is_constant:
            return self._constant()
        if self.student is not None:
            if self._is_adversarial or self.augment is not None:
                raise ValueError(
                    "discriminator and augment are for the network, student=None; got "
                    f"student={type(self.student).__name__}."
                )
            self._check_student(self.student)
            return set_seeds(clone(self.student), generator)
        self._seed = int(generator.randint(2**31 - 1))
        network = self._network(
            **{name: getattr(self, name) for name in OF_THE_NETWORK},
            training=Training() if self.training is None else self.training,
            random_state=self._seed,
        )
        network.n_features_in_ = self.n_features_in_
        return network

    def _as_given(self, given, X):
        """Rows for teachers: frames as frames, everything else as validated."""
        return given if hasattr(given, "columns") and self.augment is None else X

    def _ask_teachers(self, teachers, rows, y, weight):
        """Fit the teachers, and return the mean of their answers to labelled and other rows."""
        X, extra = rows
        self._names, answers = [name for name, _ in teachers], None
        if self.prefit:
            self.teachers_ = [teacher for _, teacher in teachers]
        else:
            cv = self.cv if self.augment is None and not self._is_constant else None
            folds = make_folds(X, y, cv, is_classifier=self._is_classifier)
            self.teachers_, answers = fit_teachers(
                teachers, X, y, weight, folds, self._answer(), self.n_jobs
            )
        targets = self._mean(self._answers(X) if answers is None else answers)
        if extra is not None:
            targets = np.concatenate([targets, self._mean(self._answers(extra))])
        return targets

    def _answers(self, X):
        """Return what each fitted teacher says of rows."""
        answer = self._answer()
        pairs = zip(self._names, self.teachers_, strict=True)
        return [answer(teacher, name, X) for name, teacher in pairs]

    def _mean(self, answers):
        return self._as_targets(mean_of_teachers(answers, self.teacher_weights))

    def _fit_student(self, student, X, targets, labels, weight, task):
        """Fit the student, and measure how well it imitates."""
        self.soft_targets_ = targets
        mixed = mix_labels(
            targets, labels, self.hard_label_weight, np.arange(len(targets))
        )
        if self.student is None and not self._is_constant:
            self._fit_network(student, X, mixed, labels, weight, task)
        else:
            with task.step("student", inner=student):
                self.student_ = self._fit_estimator(student, X, mixed, weight)
        self._measure_imitation(X, weight)

    def _fit_network(self, network, X, mixed, labels, weight, task):
        """Train the network on labels, and then on the targets."""
        self._set_scale(network, mixed, weight)
        is_started = self.init_student == "pretrain" and labels is not None
        if is_started:
            self._start_on_labels(network, X, labels, weight, task)
        teachers = self.soft_targets_ if self._is_adversarial else None
        with task.step("student", inner=network):
            self.student_ = network.fit_targets(
                X, self._scaled(network, mixed), weight, teachers=teachers,
                goes_on=is_started, redraw=self._redraw(network, X, labels, True),
            )  # fmt: skip

    def _start_on_labels(self, network, X, labels, weight, task):
        n_labelled, settings = len(labels), network.training
        weight = None if weight is None else weight[:n_labelled]
        # a checkpoint is of the second stage
        network.training = clone(settings).set_params(checkpoint=None)
        with task.step("start on labels", attributes=None, inner=network):
            network.fit_targets(
                X[:n_labelled], self._scaled(network, labels), weight,
                redraw=self._redraw(network, X, labels, False),
            )  # fmt: skip
        network.training = settings

    def _redraw(self, network, X, labels, asks_teachers):
        """Return a function that draws the rows of an epoch, and asks for their targets."""
        if self.augment is None:
            return None
        dense = dense_rows(X)

        def redraw(rows, epoch):
            before = dense[rows]
            rng = np.random.default_rng([self._seed, epoch, int(rows[0])])
            drawn = np.asarray(self.augment(before, rng))
            if drawn.shape != before.shape:
                raise ValueError(
                    f"augment must keep the shape {before.shape} of rows, got "
                    f"{drawn.shape}."
                )
            if not asks_teachers:
                return {"X": drawn, "targets": self._scaled(network, labels[rows])}
            targets = self._mean(self._answers(drawn))
            mixed = mix_labels(targets, labels, self.hard_label_weight, rows)
            mixed = self._scaled(network, mixed)
            return {"X": drawn, "targets": mixed, "teachers": targets}

        return redraw

    def _report(self, X, y, score):
        if not self.teachers_:
            raise ValueError("report compares with teachers, and fit_soft had none.")
        rows, answer = self._check_rows(X), self._answer()
        if len(y) != rows.shape[0]:
            raise ValueError(f"y has {len(y)} rows but X has {rows.shape[0]}.")
        given = self._as_given(X, rows)
        models = [
            (name, teacher, partial(answer, teacher, name, given))
            for name, teacher in zip(self._names, self.teachers_, strict=True)
        ]
        student = ("student", self.student_, partial(self._student_says, rows))
        return compare([*models, student], self._mean, score)

    def _predicting_rows(self, X):
        check_is_fitted(self)
        return self._check_rows(X)

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


def checked_weight(sample_weight, X):
    """Return weights of at least 0, or None."""
    if sample_weight is not None:
        return check_sample_weight(sample_weight, X, ensure_non_negative=True)
