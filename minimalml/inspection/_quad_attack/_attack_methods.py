"""What a fitted `QuadAttack` does: attack rows, transform them, score their model."""

import warnings

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.utils import _safe_indexing, check_random_state

from minimalml._core.callbacks import with_callbacks
from minimalml._core.validation import check_is_fitted, validate_data
from minimalml.inspection._quad_attack._attack_inputs import (
    check_within,
    choose_targets,
    encode_labels,
)
from minimalml.inspection._quad_attack._attack_run import (
    add_within_bounds,
    attack_batches,
    describe,
    scores_of,
)


class AttackMixin(TransformerMixin):
    """Attack, transform and score, and what became of each row in the last transform."""

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
        check_is_fitted(self)
        X, shape = self._checked_rows(X)
        random_state = check_random_state(self.random_state)
        logits = scores_of(self, X)
        predicted = logits.argmax(axis=1)
        true = predicted if y is None else encode_labels(y, self.classes_, "y")
        if len(true) != len(X):
            raise ValueError(f"y has {len(true)} labels but X has {len(X)} rows.")
        targets = self.targets if targets is None else targets
        goal = choose_targets(
            targets, self.k, self.classes_, true, logits, random_state
        )
        n_batches = -(-len(X) // self.batch_size)
        context = self._init_callback_context("attack", max_subtasks=n_batches)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        found = attack_batches(self, X, goal, random_state, context)
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        moved = add_within_bounds(self, X, found[0])
        return describe(self, X, moved, goal, true, predicted, found[1:], shape)

    def _checked_rows(self, X):
        shape = X.shape if getattr(X, "ndim", 2) > 2 else None
        X, _ = self._flatten(X)
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        check_within(X, self.bounds_)
        return X, shape or X.shape

    def transform(self, X, y=None, targets=None):
        """Return X with successful perturbations added.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, *image_shape)
            Clean inputs.

        y : array-like of shape (n_samples,), default=None
            True labels; None takes the predicted ones.

        targets : array-like or "random", default=None
            Overrides the parameter ``targets``.

        Returns
        -------
        ndarray of the shape and type of X
            ``targets_``, ``success_``, ``perturbation_norms_`` and ``coef_`` say what
            became of each row.
        """
        result = self.attack(X, y, targets)
        # filled in place: attributes of a fitted estimator don't change
        self.last_attack_.update(result)
        return result.X_adversarial

    def score(self, X, y=None, targets=None):
        """Return the share of correctly classified rows that resist, 1 the best.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, *image_shape)
            Clean inputs.

        y : array-like of shape (n_samples,), default=None
            True labels; None counts every row as correctly classified.

        targets : array-like or "random", default=None
            Overrides the parameter ``targets``.

        Returns
        -------
        float
            One minus the success rate; NaN with a warning if no row is classified
            correctly.
        """
        check_is_fitted(self)
        if y is not None:
            rows, _ = self._checked_rows(X)
            y = np.asarray(y)
            predicted = self.classes_[scores_of(self, rows).argmax(axis=1)]
            is_correct = predicted == y
            if not is_correct.any():
                warnings.warn(
                    "No row is classified correctly: robustness is not defined.",
                    stacklevel=2,
                )
                return np.nan
            kept = np.flatnonzero(is_correct)
            X, y = _safe_indexing(X, kept), y[kept]
            if np.ndim(targets) and len(targets) == len(is_correct):
                targets = np.asarray(targets)[kept]
        return 1.0 - float(self.attack(X, y, targets).success.mean())

    @property
    def targets_(self):
        """Labels aimed at in the last call of ``transform``."""
        return self.last_attack_.targets

    @property
    def success_(self):
        """Which rows succeeded in the last call of ``transform``."""
        return self.last_attack_.success

    @property
    def perturbation_norms_(self):
        """Euclidean length of what the last call of ``transform`` added."""
        return self.last_attack_.l2

    @property
    def coef_(self):
        """Weight of the loss at the end of the last call of ``transform``."""
        return self.last_attack_.coefficient
