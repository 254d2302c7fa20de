"""The half of `NaiveBayesProbe` that fits: rows to moments, moments to attributes."""

import numpy as np
from joblib import effective_n_jobs

from minimalml._core.arrays import import_torch, is_torch_tensor
from minimalml.linear_model._naive_bayes_probe._gaussian_form import (
    effective_priors,
    estimate_variances,
    linear_form,
    too_few_samples,
    zero_variance,
)
from minimalml.linear_model._naive_bayes_probe._input import (
    check_weights,
    refuse_not_finite,
)
from minimalml.linear_model._naive_bayes_probe._moments_functions import class_moments

# Logits are computed from centred rows where the features' common offset makes terms
# this much larger than their spread does: a float32 would lose digits.
LARGE_OFFSET = 16.0


class FitFromMoments:
    """Measure rows and set fitted attributes, as the parameters say."""

    def _measured(self, X, codes, classes, sample_weight):
        """Return the moments of checked rows, as arrays on the host."""
        weights = check_weights(sample_weight, X)
        if self.device is not None and isinstance(X, np.ndarray):
            X = import_torch("NaiveBayesProbe").as_tensor(X, device=self.device)
        moments = class_moments(
            X,
            codes,
            len(classes),
            weights,
            per_class=self.variance == "per_class",
            n_threads=None if self.n_jobs is None else effective_n_jobs(self.n_jobs),
        )
        moments = moments.to_numpy().with_classes(classes)
        if is_torch_tensor(X) and not np.isfinite(moments.offsets).all():
            refuse_not_finite(X)
        return moments

    def _set_moments(self, moments, more_may_come=False):
        """Set all fitted attributes from the moments."""
        if len(moments.classes) < 2:
            raise ValueError(
                "NaiveBayesProbe needs samples of at least 2 classes, got one class: "
                f"{moments.classes}."
            )
        if not moments.counts.sum() > 0:
            raise ValueError("sample_weight is zero for every sample.")
        # before anything is set: a batch that is refused may come again
        self.class_prior_ = effective_priors(self.priors, moments.counts)
        self._moments = moments
        self.classes_ = moments.classes
        self.class_count_ = moments.counts
        self.theta_ = moments.means
        self.n_samples_seen_ = moments.n_samples
        self._undetermined = self._set_variances()
        if self._undetermined and not more_may_come:
            raise ValueError(self._undetermined)
        if self.variance == "per_class":
            vars(self).pop("coef_", None)
            vars(self).pop("intercept_", None)
        elif not self._undetermined:
            self._set_linear_form()
        return self

    def _set_variances(self):
        """Set the variances, or return why the samples don't determine them."""
        if why := too_few_samples(self._moments, self.ddof):
            return why
        self.var_, self.epsilon_ = estimate_variances(
            self._moments,
            kind=self.variance,
            ddof=self.ddof,
            shrinkage=self.shrinkage,
            var_smoothing=self.var_smoothing,
            smoothing=self.smoothing,
        )
        return zero_variance(self.var_, self.variance)

    def _set_linear_form(self):
        coef, intercept = linear_form(self._moments, self.var_, self._log_prior())
        if len(coef) == 2:
            coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
        self.coef_, self.intercept_ = coef, intercept
        centre = self.class_prior_ @ self.theta_
        spread = np.sqrt(self._moments.total_variance())
        size = np.abs(coef)
        is_far = (size @ np.abs(centre)).max() > LARGE_OFFSET * (size @ spread).max()
        self._centre = centre if is_far else None

    def _log_prior(self):
        with np.errstate(divide="ignore"):
            return np.log(self.class_prior_)
