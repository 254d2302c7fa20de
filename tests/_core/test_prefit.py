"""Whether what a meta-estimator is given is used as it is, copied, or fitted anew."""

import pickle

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from minimalml._core.models.prefit import (
    copy_of_trained,
    estimator_to_use,
    is_used_as_fitted,
)
from minimalml.compression import GlobalMagnitudePruner

X = np.random.default_rng(0).normal(size=(40, 3))
y = np.arange(40) % 2


def half_fitted(nested=False):
    """Return a pipeline whose last step alone is fitted."""
    pipeline = Pipeline([("scale", StandardScaler()), ("model", Ridge().fit(X, y))])
    return Pipeline([("none", None), ("inner", pipeline)]) if nested else pipeline


FITTED = [
    Ridge().fit(X, y),
    make_pipeline(StandardScaler(), Ridge()).fit(X, y),
    Pipeline([("skip", "passthrough"), ("model", Ridge())]).fit(X, y),
    make_pipeline(FunctionTransformer(), Ridge().fit(X, y)),
    make_pipeline(FrozenEstimator(StandardScaler().fit(X)), Ridge().fit(X, y)),
    GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=2).fit(X, y),
    FrozenEstimator(Ridge()),
    GlobalMagnitudePruner(Ridge(), sparsity=0.3).fit(X, y),
]
UNFITTED = [
    Ridge(),
    half_fitted(),
    half_fitted(nested=True),
    make_pipeline(StandardScaler(), Ridge()),
    GridSearchCV(Ridge().fit(X, y), {"alpha": [1.0]}),
    GlobalMagnitudePruner(Ridge().fit(X, y)),
]


@pytest.mark.parametrize("model", FITTED, ids=repr)
def test_what_is_fitted_as_a_whole_is_used(model):
    assert is_used_as_fitted(model, "auto") and is_used_as_fitted(model, True)
    assert not is_used_as_fitted(model, False)
    assert estimator_to_use(model) == (model, False)


@pytest.mark.parametrize("model", UNFITTED, ids=repr)
def test_a_clone_of_anything_else_is_to_be_fitted(model):
    for prefit in ("auto", False):
        assert not is_used_as_fitted(model, prefit)
        clone, needs_fit = estimator_to_use(model, prefit)
        assert needs_fit and clone is not model and type(clone) is type(model)
    with pytest.raises(NotFittedError, match="prefit=True needs a fitted estimator"):
        is_used_as_fitted(model, True)


@pytest.mark.parametrize(
    ("model", "part"),
    [
        (Ridge(), r"estimator \(Ridge\) is not"),
        (half_fitted(), r"step 'scale' of estimator \(StandardScaler\) is not"),
        (
            half_fitted(nested=True),
            r"step 'scale' of step 'inner' of estimator \(StandardScaler\) is not",
        ),
    ],
)
def test_the_part_that_is_not_fitted_is_named(model, part):
    with pytest.raises(NotFittedError, match=part):
        estimator_to_use(model, prefit=True)


@pytest.mark.parametrize("is_fitted", [True, False])
def test_what_is_changed_is_a_copy_even_where_frozen(is_fitted):
    inner = Ridge().fit(X, y)
    models = [inner, FrozenEstimator(inner), FrozenEstimator(FrozenEstimator(inner))]
    if not is_fitted:
        models = [make_pipeline(StandardScaler(), FrozenEstimator(inner))]
    before = pickle.dumps(inner)
    for model in models:
        copied, needs_fit = estimator_to_use(model, is_changed=True)
        assert needs_fit != is_fitted
        copied = copied if is_fitted else copied.steps[-1][1].estimator
        assert type(copied) is Ridge and copied is not inner
        copied.coef_[:] = 0
        assert pickle.dumps(inner) == before


def test_modules_are_used_as_they_are_and_not_fitted():
    module = pytest.importorskip("torch").nn.Linear(3, 2)
    assert estimator_to_use(module) == (module, False)
    assert is_used_as_fitted(module, True)
    assert estimator_to_use(module, is_changed=True)[0] is not module
    with pytest.raises(ValueError, match=r"torch module \(Linear\).*prefit at 'auto'"):
        is_used_as_fitted(module, False)


@pytest.mark.parametrize("kind", ["prune", "weight_norm"])
@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_modules_that_can_not_be_copied_say_why_and_what_helps(kind):
    torch = pytest.importorskip("torch")
    from torch.nn.utils import prune

    module = torch.nn.Sequential(torch.nn.Linear(3, 3))
    if kind == "prune":
        prune.l1_unstructured(module[0], "weight", 0.3)
    else:
        torch.nn.utils.weight_norm(module[0])
    module(torch.ones(2, 3)).sum().backward()
    with pytest.raises(
        TypeError, match=r"estimator \(Sequential\) can't be copied: it"
    ):
        copy_of_trained(module)
    with torch.no_grad():
        expected = module(torch.ones(2, 3))
    assert torch.equal(copy_of_trained(module)(torch.ones(2, 3)), expected)


def test_other_things_that_can_not_be_copied_are_named():
    model = LogisticRegression()
    model.rows = (row for row in X)
    with pytest.raises(TypeError, match=r"\(LogisticRegression\) can't be copied\.$"):
        estimator_to_use(model.fit(X, y), is_changed=True)
