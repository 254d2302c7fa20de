"""Networks as students: beside networks on labels, and what their gradients are."""

import pickle

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from minimalml.ensemble import (
    EnsembleDistillationClassifier,
    EnsembleDistillationRegressor,
    distillation_loss,
)
from minimalml.neural_network import Training

torch = pytest.importorskip("torch")
functional = torch.nn.functional


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(X), y


def small(**options):
    teachers = [GaussianNB(), DecisionTreeClassifier(max_depth=3, random_state=0)]
    settings = dict(teachers=teachers, hidden_layer_sizes=(8,), max_epochs=10,
                    learning_rate=0.01, batch_size=32, random_state=0)  # fmt: skip
    return EnsembleDistillationClassifier(**settings | options)


def test_loss_of_tensors_is_torchs(rng):
    logits = torch.tensor(rng.normal(size=(6, 4)), requires_grad=True)
    P = torch.tensor(rng.dirichlet(np.ones(4), size=6))
    loss = distillation_loss(logits, P)
    torch.testing.assert_close(loss, functional.cross_entropy(logits, P))
    divergence = functional.kl_div(logits.log_softmax(1), P, reduction="batchmean")
    entropy = -(P * P.log()).sum(1).mean()
    torch.testing.assert_close(loss, divergence + entropy)
    loss.backward()
    expected = (logits.detach().softmax(1) - P) / 6
    torch.testing.assert_close(logits.grad, expected)
    weights = torch.tensor([1.0, 0, 0, 0, 0, 0])
    first = distillation_loss(logits[:1], P[:1])
    torch.testing.assert_close(
        distillation_loss(logits, P, sample_weight=weights), first
    )
    numbers = distillation_loss(logits.detach().numpy(), P.numpy())
    assert float(loss.detach()) == pytest.approx(numbers)


def test_gradient_into_the_student_is_reversed():
    from minimalml.ensemble._distillation._discriminator_torch import (
        discriminator_losses,
        make_discriminator,
    )

    torch.manual_seed(0)
    net = make_discriminator(10).double()
    assert [layer.out_features for layer in net[::2]] == [5, 2, 2]
    assert [layer.out_features for layer in make_discriminator(1000)[::2]] == [
        125,
        15,
        2,
    ]
    student = torch.randn(7, 10, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(7, 10, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([[1.0, 0.0]] * 7 + [[0.0, 1.0]] * 7, dtype=torch.float64)
    plain = functional.binary_cross_entropy_with_logits(
        net(torch.cat([student, teacher])), labels
    )
    ours = discriminator_losses(net, student, teacher).mean()
    torch.testing.assert_close(ours, plain)
    of_plain = torch.autograd.grad(plain, [student, *net.parameters()])
    of_ours = torch.autograd.grad(ours, [student, *net.parameters()])
    assert of_plain[0].abs().max() > 0
    torch.testing.assert_close(of_ours[0], -of_plain[0], atol=1e-7, rtol=0)
    torch.testing.assert_close(of_ours[1:], of_plain[1:], atol=1e-7, rtol=0)
    ours = discriminator_losses(net, student, teacher).sum()
    ours.backward()
    assert teacher.grad is None


def test_labels_alone_train_the_network_that_labels_train(iris):
    from minimalml._core.training.network import NetworkClassifier

    X, y = iris
    model = small(hard_label_weight=1.0, init_student=None).fit(X, y)
    alone = NetworkClassifier(
        (8,), max_epochs=10, learning_rate=0.01, batch_size=32,
        random_state=model.student_.random_state,
    ).fit(X, y)  # fmt: skip
    np.testing.assert_array_equal(model.predict_proba(X), alone.predict_proba(X))


def test_the_start_is_the_network_of_labels_and_goes_on_from_it(iris):
    X, y = iris
    still = small(learning_rate=0.01).fit(X, y)
    labels = small(hard_label_weight=1.0, init_student=None).fit(X, y)
    on = small(module=labels.student_.module_, init_student=None).fit(X, y)
    np.testing.assert_array_equal(on.predict_proba(X), still.predict_proba(X))
    scratch = small(init_student=None).fit(X, y)
    assert still.kl_ < scratch.kl_
    assert len(still.loss_curve_) == still.n_iter_ == 10
    again = clone(still).fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), still.predict_proba(X))
    copy = pickle.loads(pickle.dumps(still))
    np.testing.assert_array_equal(copy.predict_proba(X), still.predict_proba(X))


def test_a_discriminator_takes_part_and_leaves_no_trace(iris):
    X, y = iris
    plain, adversarial = small().fit(X, y), small(discriminator="adversarial").fit(X, y)
    assert not np.array_equal(plain.predict_proba(X), adversarial.predict_proba(X))
    assert adversarial.student_._discriminator is None
    mixed = small(discriminator="adversarial", hard_label_weight=0.5).fit(X, y)
    assert mixed.score(X, y) > 0.6


def test_augmented_rows_are_drawn_each_epoch_and_asked_about(iris):
    X, y = iris
    seen = []

    def shake(rows, rng):
        seen.append(rows + rng.normal(0, 0.1, rows.shape))
        return seen[-1]

    model = small(augment=shake, max_epochs=3).fit(X, y)
    assert [len(rows) for rows in seen] == [150] * 6  # three epochs of either stage
    assert not np.array_equal(seen[3], seen[4])
    same = small(augment=lambda rows, rng: rows, cv=None).fit(X, y)
    plain = small(cv=None).fit(X, y)
    np.testing.assert_allclose(same.predict_proba(X), plain.predict_proba(X), atol=1e-5)
    again = clone(model).fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    with pytest.raises(ValueError, match="augment must keep the shape"):
        small(augment=lambda rows, rng: rows[:, :2]).fit(X, y)


def test_sparse_rows_are_never_dense_as_a_whole(iris):
    X, y = iris
    X = np.where(X > 0, X, 0)
    # without the start, batches are the same; teachers take sparse rows
    model = small(
        teachers=[LogisticRegression(), DecisionTreeClassifier(random_state=0)]
    )
    dense = model.fit(X, y, X_unlabeled=X[:20]).predict_proba(X)
    sparse = clone(model).fit(csr_array(X), y, X_unlabeled=csr_array(X[:20]))
    np.testing.assert_allclose(sparse.predict_proba(csr_array(X)), dense, atol=1e-5)


def test_strided_and_read_only_rows(iris):
    X, y = iris
    model = small().fit(X[::-1], y[::-1])
    locked = np.ascontiguousarray(X[::-1])
    locked.flags.writeable = False
    again = small().fit(locked, y[::-1])
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_a_checkpoint_is_of_the_second_stage(iris, tmp_path):
    X, y = iris
    path = tmp_path / "student.pt"
    model = small(training=Training(checkpoint=str(path)))
    first = model.fit(X, y).predict_proba(X)
    assert path.exists()
    np.testing.assert_array_equal(clone(model).fit(X, y).predict_proba(X), first)


def test_a_network_learns_predictions_of_any_scale(rng):
    X = rng.normal(size=(120, 3))
    y = 1e6 + 5e5 * X[:, 0]
    model = EnsembleDistillationRegressor(
        [Ridge()], hidden_layer_sizes=(16,), learning_rate=0.01, random_state=0
    ).fit(X, y)
    assert model.fidelity_ > 0.98 and model.score(X, y) > 0.98
    assert len(model.loss_curve_) == model.n_iter_ == 100
