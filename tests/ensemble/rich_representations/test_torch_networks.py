"""Networks of torch as members, and the student that imitates several."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, scale
from torch import nn

from minimalml._core.training.network import NetworkClassifier, NetworkRegressor
from minimalml.ensemble import (
    ConcatenatedRepresentation,
    DistilledRepresentation,
    hidden_representation,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
FLOAT32 = 1e-5
CLASSIFIER = NetworkClassifier((8, 5), max_epochs=5, batch_size=50, device="cpu")


class Branched(nn.Module):
    """A network that is no plain MLP, with dropout and statistics."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.norm, self.drop = nn.BatchNorm1d(n_features), nn.Dropout(0.5)
        self.hidden, self.last = nn.Linear(n_features, 6), nn.Linear(6, n_outputs)

    def forward(self, X):
        return self.last(self.drop(torch.tanh(self.hidden(self.norm(X)))))


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return scale(X).astype(np.float32), y


@pytest.fixture(scope="module")
def teachers(iris):
    network = MLPClassifier((12, 8), max_iter=40)
    return ConcatenatedRepresentation(network, 2, random_state=0).fit(*iris)


@pytest.mark.parametrize("module", [None, Branched])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_output_layers_on_features_are_decisions(iris, module, n_classes):
    X, y = iris
    X, y = X[y < n_classes], y[y < n_classes]
    network = clone(CLASSIFIER).set_params(module=module)
    model = ConcatenatedRepresentation(network, 2, random_state=0).fit(X, y)
    coef, intercept = model.averaged_head()
    ours = model.transform(X) @ coef.T + intercept
    mean = np.mean([np.log(e.predict_proba(X)) for e in model.estimators_], axis=0)
    if n_classes == 2:
        mean = mean[:, 1:] - mean[:, :1]
    shifted = ours - mean if n_classes == 2 else (ours - mean) - (ours - mean)[:, :1]
    np.testing.assert_allclose(shifted, 0, atol=FLOAT32)


def test_regressors_speak_in_units_of_y(iris):
    X, _ = iris
    y = np.column_stack([10 + 3 * X[:, 0], 100 * X[:, 1]])
    network = NetworkRegressor((6,), max_epochs=3, device="cpu")
    model = ConcatenatedRepresentation(network, 2, random_state=0).fit(X, y)
    coef, intercept = model.averaged_head()
    mean = np.mean([e.predict(X) for e in model.estimators_], axis=0)
    ours = model.transform(X) @ coef.T + intercept
    np.testing.assert_allclose(ours, mean, rtol=1e-4, atol=1e-3)


def test_bare_modules_are_read_in_evaluation_mode(iris):
    X, _ = iris
    module = Branched(4, 3).train()
    expected = torch.tanh(module.hidden(module.norm.eval()(torch.tensor(X))))
    module.norm.train()
    expected = expected.detach().numpy()
    for rows in (X, X[::-1][::-1], torch.tensor(X)):
        found = hidden_representation(module, rows)
        assert isinstance(found, type(rows))
        np.testing.assert_allclose(found, expected, atol=FLOAT32)
    assert module.training and module.norm.training
    half = hidden_representation(copy.deepcopy(module).bfloat16(), X.astype(np.float64))
    assert half.dtype == np.float64
    np.testing.assert_allclose(half, expected, atol=0.05)
    with pytest.raises(ValueError, match=r"layer must be -1 for Branched, .* got 0"):
        hidden_representation(module, X, layer=0)
    with pytest.raises(ValueError, match="NaN"):
        hidden_representation(module, X * np.nan)
    with pytest.raises(TypeError, match="linear"):
        hidden_representation(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), X)
    model = ConcatenatedRepresentation([FrozenEstimator(module)]).fit(X)
    np.testing.assert_allclose(model.transform(X), expected, atol=FLOAT32)
    with pytest.raises(TypeError, match="torch module"):
        model.fine_tune(X, X[:, 0] > 0)


def test_hidden_layers_of_the_built_in_network(iris):
    X, y = iris
    network = clone(CLASSIFIER).set_params(random_state=0).fit(X, y)
    first = network.module_.blocks[0](torch.tensor(X)).detach().numpy()
    np.testing.assert_array_equal(hidden_representation(network, X, layer=0), first)
    with pytest.raises(ValueError, match="MLP has 2 hidden layers"):
        hidden_representation(network, X, layer=2)
    with pytest.raises(NotFittedError):
        hidden_representation(CLASSIFIER, X)


@pytest.mark.parametrize("module", [None, Branched])
def test_fine_tuning_starts_from_the_hidden_layers(iris, module):
    X, y = iris
    network = clone(CLASSIFIER).set_params(module=module, learning_rate=1e-2)
    model = ConcatenatedRepresentation(network, 2, random_state=0).fit(X, y)
    for estimator in model.estimators_:
        estimator.set_params(learning_rate=1e-9)
    before = model.transform(X)
    near = model.fine_tune(X, y == 1, max_epochs=1)
    if module is None:  # statistics of batches move in any pass
        np.testing.assert_allclose(near.transform(X), before, atol=1e-3)
    for estimator in model.estimators_:
        estimator.set_params(learning_rate=1e-2)
    tuned = model.fine_tune(X, y == 1, max_epochs=10)
    np.testing.assert_array_equal(model.transform(X), before)
    assert tuned.classes_.tolist() == [False, True]
    assert tuned.estimators_[0].max_epochs == 5 and not tuned.estimators_[0].warm_start
    assert np.abs(tuned.transform(X) - before).max() > 0.01


def test_a_student_as_large_as_its_teacher_imitates_it(iris):
    X, y = iris
    teacher = ConcatenatedRepresentation(
        MLPClassifier((16,), max_iter=60), 1, random_state=0
    ).fit(X, y)
    student = DistilledRepresentation(
        teacher, n_noisy_copies=0, max_epochs=150, learning_rate=1e-2, random_state=0
    ).fit(X)
    assert student.fidelity_ > 0.9
    assert student.representation_ is teacher
    assert student.transform(X).shape == (150, 16)
    assert student.loss_curve_[-1] < 0.2 * student.loss_curve_[0]


def test_scales_of_features_do_not_matter(iris):
    X, _ = iris
    options = dict(hidden_layer_sizes=[6], random_state=0)
    students = [
        DistilledRepresentation(teacher.fit(X), **options).fit(X)
        for teacher in (
            FunctionTransformer(),
            FunctionTransformer(lambda rows: np.c_[100 * rows + 7, np.ones(len(rows))]),
        )
    ]
    one, other = (student.transform(X) for student in students)
    np.testing.assert_allclose(one, other, atol=1e-3)


def test_probabilities_are_imitated_by_a_head_a_teacher(iris, teachers):
    X, _ = iris
    options = dict(target="probabilities", max_epochs=60, learning_rate=1e-2)
    student = DistilledRepresentation(teachers, random_state=0, **options).fit(X)
    assert student.fidelity_ > 0.9
    options |= dict(max_epochs=1, learning_rate=1e-6)
    chance = DistilledRepresentation(teachers, random_state=0, **options).fit(X)
    assert chance.fidelity_ < 0.9
    # 0 only where every teacher is matched
    assert 0 <= student.loss_curve_[-1] < 0.3 * student.loss_curve_[0]


def test_students_repeat_pickle_and_search(iris, teachers):
    X, y = iris
    options = dict(max_epochs=2, random_state=3)
    unfitted = ConcatenatedRepresentation(MLPClassifier((4,), max_iter=3), 2)
    one, two = (DistilledRepresentation(unfitted, **options).fit(X, y) for _ in "ab")
    np.testing.assert_array_equal(one.transform(X), two.transform(X))
    again = pickle.loads(pickle.dumps(one))
    np.testing.assert_array_equal(one.transform(X), again.transform(X))
    assert one.transform(X).dtype == np.float32
    noisier = clone(one).set_params(noise=2.0).fit(X, y)
    assert not np.array_equal(noisier.transform(X), one.transform(X))
    probe = LogisticRegression(max_iter=500)
    frozen = FrozenEstimator(teachers)
    search = GridSearchCV(
        make_pipeline(DistilledRepresentation(frozen, **options), probe),
        {"distilledrepresentation__n_noisy_copies": [0, 1]},
        cv=2,
    ).fit(X, y)
    assert search.best_score_ > 0.5


def test_students_of_frames_do_not_warn(iris, recwarn):
    pd = pytest.importorskip("pandas")
    X, y = iris
    frame = pd.DataFrame(X, columns=list("abcd"))
    teachers = ConcatenatedRepresentation(MLPClassifier((4,), max_iter=3), 2)
    DistilledRepresentation(teachers, max_epochs=1).fit(frame, y).transform(frame)
    assert not [w for w in recwarn if "feature names" in str(w.message)]
    with pytest.raises(ValueError, match="feature names"):
        fitted = teachers.fit(frame, y)
        DistilledRepresentation(fitted).fit(frame.rename(columns={"a": "e"}))


def test_bad_students_are_refused(iris, teachers):
    X, y = iris
    regressors = ConcatenatedRepresentation(
        MLPRegressor(hidden_layer_sizes=(3,), max_iter=2), 2
    ).fit(X, y)
    silent = ConcatenatedRepresentation(MLPClassifier((3,), max_iter=2), 1).fit(X, y)
    silent.estimators_[0].intercepts_[0][:] = -1e6
    cases = [
        (DistilledRepresentation(), "requires y"),
        (DistilledRepresentation(teachers, noise=-1.0), "noise"),
        (DistilledRepresentation(teachers, n_noisy_copies=-1), "n_noisy_copies"),
        (DistilledRepresentation(regressors, target="probabilities"), "classifiers"),
        (DistilledRepresentation(PCA(2).fit(X), target="probabilities"), "classifiers"),
        (DistilledRepresentation(silent), "all constant"),
        (DistilledRepresentation(PCA(2).fit(X)), "hidden_layer_sizes must be given"),
        (DistilledRepresentation(teachers, hidden_layer_sizes=()), "at least 1"),
        (DistilledRepresentation(teachers, hidden_layer_sizes=(3, 0)), "at least 1"),
    ]
    for student, words in cases:
        with pytest.raises(ValueError, match=words):
            student.fit(X)
    many = ConcatenatedRepresentation(MLPClassifier((3,), max_iter=2), 1)
    many.fit(X, np.column_stack([y > 0, y > 1, y > 5]).astype(int))
    with pytest.raises(ValueError, match="several labels"):
        DistilledRepresentation(many, target="probabilities").fit(X)
    assert DistilledRepresentation(PCA(2).fit(X), hidden_layer_sizes=[3]).fit(X)
