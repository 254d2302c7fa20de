"""Steps of a pipeline as affine maps, so that they can be folded into a layer."""

from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA, IncrementalPCA, TruncatedSVD
from sklearn.feature_selection import SelectorMixin
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)

from minimalml._core.models.delegation import DelegatingMixin, inner_model
from minimalml._core.validation import check_is_fitted

# what scores rows as the model inside does, after a pipeline's steps
HOLDERS = (Pipeline, FrozenEstimator, BaseSearchCV, DelegatingMixin)

AFFINE_STEPS = (
    "StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler, PCA, IncrementalPCA, "
    "TruncatedSVD and column selectors"
)


@dataclass(frozen=True)
class AffineMap:
    """The map ``x -> x * scale + offset`` (1-D scale) or ``x @ scale + offset``."""

    scale: np.ndarray
    offset: np.ndarray

    def __call__(self, X):
        """Apply the map to the rows of ``X``."""
        product = X * self.scale if self.scale.ndim == 1 else X @ self.scale
        return product + self.offset

    def pull_back(self, cotangent):
        """Multiply by the transposed matrix."""
        return (
            cotangent * self.scale if self.scale.ndim == 1 else cotangent @ self.scale.T
        )

    def then(self, other):
        """Return the map that applies this one first and ``other`` after it."""
        scale = self.scale
        if scale.ndim == 1 and other.scale.ndim == 2:
            scale = scale[:, None] * other.scale
        elif other.scale.ndim == 2:
            scale = scale @ other.scale
        else:
            scale = scale * other.scale
        return AffineMap(scale, other(self.offset))


def split_off_affine_steps(model):
    """Return the affine map before a classifier, or None, and the classifier."""
    before = None
    while True:
        if not isinstance(model, HOLDERS):
            return before, model
        check_is_fitted(model)
        for _, step in model.steps[:-1] if isinstance(model, Pipeline) else ():
            step_map = affine_step(step)
            if step_map is not None:
                before = before.then(step_map) if before else step_map
        model = inner_model(model)


def affine_step(step):
    """Return a fitted transformer as an `AffineMap`; None for the identity."""
    if isinstance(step, FrozenEstimator):
        return affine_step(step.estimator)
    if step is None or isinstance(step, str):  # "passthrough"
        return None
    if isinstance(step, Pipeline):
        before, last = split_off_affine_steps(step)
        last_map = affine_step(last)
        return before.then(last_map) if before and last_map else before or last_map
    if getattr(step, "clip", False):
        raise TypeError(
            f"{type(step).__name__}(clip=True) is not affine: set clip=False."
        )
    for kinds, read in _AFFINE_STEPS:
        if isinstance(step, kinds):
            check_is_fitted(step)
            return read(step)
    raise TypeError(
        f"The step {type(step).__name__} is not a known affine map; supported are "
        f"{AFFINE_STEPS}."
    )


def _scaler(step):
    scale = np.ones(step.n_features_in_)
    center = getattr(step, "mean_", None)
    if isinstance(step, RobustScaler):
        center = step.center_
    elif isinstance(step, StandardScaler) and not step.with_mean:
        center = None
    if step.scale_ is not None:
        scale = 1.0 / step.scale_
    return AffineMap(scale, -scale * (0.0 if center is None else center))


def _projection(step):
    scale = step.components_.T
    if getattr(step, "whiten", False):
        scale = scale / np.sqrt(step.explained_variance_)
    center = getattr(step, "mean_", None)
    offset = np.zeros(scale.shape[1]) if center is None else -(center @ scale)
    return AffineMap(scale, offset)


def _selection(step):
    support = step.get_support(indices=True)
    columns = np.zeros((step.n_features_in_, len(support)))
    columns[support, np.arange(len(support))] = 1.0
    return AffineMap(columns, np.zeros(len(support)))


_AFFINE_STEPS = (
    ((StandardScaler, RobustScaler, MaxAbsScaler), _scaler),
    ((MinMaxScaler,), lambda step: AffineMap(step.scale_, step.min_)),
    ((PCA, IncrementalPCA, TruncatedSVD), _projection),
    ((SelectorMixin,), _selection),
)
