"""The linear head of a classifier is what its own predictions say it is."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, make_multilabel_classification
from sklearn.decomposition import NMF, PCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import VarianceThreshold
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    RidgeClassifier,
    SGDClassifier,
)
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from minimalml._core.models.linear_head import linear_head, mlp_layers
from minimalml.compression import GlobalMagnitudePruner

LINEAR = [
    LogisticRegression(max_iter=50),
    SGDClassifier(random_state=0),
    LinearSVC(random_state=0),
    RidgeClassifier(),
    LinearDiscriminantAnalysis(),
]
STEPS = [
    StandardScaler(),
    StandardScaler(with_mean=False),
    StandardScaler(with_std=False),
    MinMaxScaler(),
    MaxAbsScaler(),
    RobustScaler(),
    PCA(20, random_state=0),
    PCA(20, whiten=True, random_state=0),
    TruncatedSVD(20, random_state=0),
    VarianceThreshold(),
    "passthrough",
]
QUIET = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:400] / 16, y[:400]


def scores_of(model, X):
    """Scores by scikit-learn, up to a shift for the MLP's softmax."""
    if hasattr(model, "decision_function"):
        return model.decision_function(X)
    return np.log(model.predict_proba(X))


def assert_same_differences(logits, scores):
    scores = (
        np.column_stack([np.zeros(len(scores)), scores]) if scores.ndim == 1 else scores
    )
    np.testing.assert_allclose(
        logits - logits[:, :1], scores - scores[:, :1], rtol=1e-7, atol=1e-7
    )


def mlp(activation="relu", hidden=(16, 8)):
    return MLPClassifier(hidden, activation=activation, max_iter=20, random_state=0)


@QUIET
@pytest.mark.parametrize("n_classes", [2, 10])
@pytest.mark.parametrize("model", LINEAR, ids=lambda m: type(m).__name__)
def test_linear_classifiers_score_as_they_say(model, n_classes, digits):
    X, y = digits[0], digits[1] % n_classes
    model = clone(model).fit(X, y)
    head = linear_head(model)
    assert head.is_linear and head.weight.shape == (n_classes, 64)
    np.testing.assert_array_equal(head.features(X), X)
    assert_same_differences(X @ head.weight.T + head.bias, scores_of(model, X))


def test_a_binary_head_has_a_row_of_zeros(digits):
    model = LogisticRegression(max_iter=50).fit(digits[0], digits[1] % 2)
    head = linear_head(model)
    np.testing.assert_array_equal(
        head.weight, np.vstack([0 * model.coef_, model.coef_])
    )


@QUIET
@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
def test_an_mlp_is_its_hidden_layers_and_a_head(activation, digits):
    X, y = digits
    model = mlp(activation).fit(X, y)
    head = linear_head(model)
    assert head.weight.shape == (10, 8)
    logits = head.features(X) @ head.weight.T + head.bias
    np.testing.assert_allclose(logits, head.logits(X), rtol=1e-12)
    assert_same_differences(logits, scores_of(model, X))


@QUIET
@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
def test_back_propagation_agrees_with_finite_differences(activation, digits, rng):
    X, y = digits
    head = linear_head(make_pipeline(StandardScaler(), mlp(activation)).fit(X, y))
    cotangent, direction = rng.standard_normal((5, 10)), rng.standard_normal((5, 64))
    _, pullback = head.logits_and_pullback(X[:5])
    step = 1e-6
    rise = head.logits(X[:5] + step * direction) - head.logits(X[:5] - step * direction)
    np.testing.assert_allclose(
        (pullback(cotangent) * direction).sum(1),
        (cotangent * rise).sum(1) / (2 * step),
        rtol=1e-6,
        atol=1e-6,
    )


@QUIET
@pytest.mark.parametrize("step", STEPS, ids=str)
@pytest.mark.parametrize("last", [RidgeClassifier(), mlp()], ids=["linear", "mlp"])
def test_affine_steps_are_folded(step, last, digits):
    X, y = digits
    model = make_pipeline(step, PCA(15, random_state=0), clone(last)).fit(X, y)
    assert_same_differences(linear_head(model).logits(X), scores_of(model, X))


def test_pipelines_in_pipelines_frozen_models_and_searches_are_looked_into(digits):
    X, y = digits
    inner = make_pipeline(StandardScaler(), PCA(15, random_state=0))
    model = GridSearchCV(make_pipeline(inner, RidgeClassifier()), {}, cv=2).fit(X, y)
    frozen = FrozenEstimator(model)
    assert_same_differences(linear_head(frozen).logits(X), scores_of(model, X))


def test_pruned_pipelines_are_looked_into(digits):
    X, y = digits
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=50))
    pruner = GlobalMagnitudePruner(model, sparsity=0.8).fit(X, y)
    assert_same_differences(linear_head(pruner).logits(X), scores_of(pruner, X))


def test_sparse_coefficients_are_read(digits):
    model = SGDClassifier(penalty="l1", random_state=0).fit(*digits)
    dense = linear_head(model).weight
    np.testing.assert_array_equal(linear_head(model.sparsify()).weight, dense)


def torch_network(n_outputs=10):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3),
        torch.nn.BatchNorm2d(4),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Dropout(),
        torch.nn.Linear(144, 20),
        torch.nn.Tanh(),
        torch.nn.Linear(20, n_outputs),
    ).double()


@pytest.mark.parametrize("n_outputs", [1, 10])
def test_a_torch_module_is_its_last_linear_layer(n_outputs, digits):
    torch = pytest.importorskip("torch")
    network = torch_network(n_outputs)
    head = linear_head(network, digits[0][:3], input_shape=(1, 8, 8))
    X = torch.as_tensor(digits[0])
    logits = head.features(X) @ head.weight.T + head.bias
    expected = network.eval()(X.reshape(-1, 1, 8, 8)).detach().numpy()
    assert_same_differences(logits.detach().numpy(), expected.squeeze())
    np.testing.assert_allclose(logits.detach(), head.logits(X).detach())


def test_reading_leaves_a_torch_module_as_it_was(digits):
    network = torch_network().train()
    network[1].eval()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    linear_head(network, digits[0][:3], input_shape=(1, 8, 8))
    assert network.training and not network[1].training
    assert all((before[k] == v).all() for k, v in network.state_dict().items())
    assert not any(part._forward_pre_hooks for part in network.modules())


def test_torch_and_numpy_heads_pull_back_alike(digits):
    torch = pytest.importorskip("torch")
    X, y = digits
    model = RidgeClassifier().fit(X, y)
    layer = torch.nn.Linear(64, 10).double()
    with torch.no_grad():
        layer.weight.copy_(torch.as_tensor(model.coef_))
        layer.bias.copy_(torch.as_tensor(model.intercept_))
    _, numpy_pullback = linear_head(model).logits_and_pullback(X)
    _, torch_pullback = linear_head(layer, X).logits_and_pullback(torch.as_tensor(X))
    cotangent = np.eye(10)[y]
    np.testing.assert_allclose(
        torch_pullback(torch.as_tensor(cotangent)), numpy_pullback(cotangent)
    )


class HoldsAModule(RidgeClassifier):
    """An estimator that trains a torch module, as skorch's and this package's do."""

    def fit(self, X, y):
        torch = pytest.importorskip("torch")
        self.classes_ = np.unique(y)
        self.module_ = torch.nn.Linear(X.shape[1], len(self.classes_)).double()
        return self


def test_a_module_in_an_estimator_after_scaling(digits):
    torch = pytest.importorskip("torch")
    X, y = digits
    labels = np.array(list("abcdefghij"))[y]
    model = make_pipeline(StandardScaler(), PCA(9), HoldsAModule()).fit(X, labels)
    head = linear_head(model, X[:2])
    assert list(head.classes) == list("abcdefghij")
    inner = torch.as_tensor(model[:-1].transform(X))
    np.testing.assert_allclose(
        head.logits(torch.as_tensor(X)).detach(), model[-1].module_(inner).detach()
    )


class OddScores(RidgeClassifier):
    def decision_function(self, X):
        return super().decision_function(X) ** 3


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (DecisionTreeClassifier(), "DecisionTreeClassifier has no linear head"),
        (LinearRegression(), "LinearRegression does not score each class"),
        (SVC(kernel="linear"), "SVC does not score each class"),
        (make_pipeline(NMF(3, max_iter=500), RidgeClassifier()), "NMF is not a known affine map"),
        (make_pipeline(MinMaxScaler(clip=True), RidgeClassifier()), r"set clip=False"),
        (OddScores(), "scores of OddScores are not coef_"),
    ],
    ids=lambda value: "",
)  # fmt: skip
def test_what_has_no_linear_head_is_refused(model, message, digits):
    model.fit(*digits)
    with pytest.raises(TypeError, match=message):
        linear_head(model)


@QUIET
@pytest.mark.parametrize("model", [RidgeClassifier(), mlp()])
def test_several_labels_a_row_are_refused(model):
    X, y = make_multilabel_classification(50, n_classes=3, random_state=0)
    with pytest.raises(TypeError, match="one class a row"):
        linear_head(clone(model).fit(X, y))


@pytest.mark.parametrize(
    "model", [RidgeClassifier(), make_pipeline(StandardScaler(), RidgeClassifier())]
)
def test_an_unfitted_model_is_refused(model):
    with pytest.raises(NotFittedError):
        linear_head(model)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_layers_of_a_regressor_give_its_predictions():
    X, y = load_digits(return_X_y=True)
    model = MLPRegressor(
        hidden_layer_sizes=(6, 3), activation="identity", max_iter=2, random_state=0
    ).fit(X, y)
    outputs = X
    for layer in mlp_layers(model):
        outputs = layer(outputs)
    np.testing.assert_allclose(outputs[:, 0], model.predict(X))
