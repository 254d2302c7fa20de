"""The head of a torch module: found, run on any rows, in any precision."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from minimalml._core.models.linear_head import linear_head

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:20] / 16, y[:20]


def torch_network(n_outputs=10):
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Dropout(),
        torch.nn.Linear(144, 20),
        torch.nn.Tanh(),
        torch.nn.Linear(20, n_outputs),
    ).double()


class WithAnotherOutput(torch.nn.Module):
    """A network that calls another linear layer after its head."""

    def __init__(self, network):
        super().__init__()
        self.network, self.spare = network, torch.nn.Linear(10, 10).double()

    def forward(self, X):
        logits = self.network(X)
        self.kept = self.spare(logits)
        return logits


def test_the_head_is_the_linear_layer_whose_output_is_the_modules(digits):
    network = torch_network()
    module = WithAnotherOutput(network)
    head = linear_head(module, digits[0][:2], input_shape=(1, 8, 8))
    assert head.layer is network[6]


def test_modules_without_a_linear_head_are_refused(digits):
    with pytest.raises(TypeError, match="must return logits"):
        linear_head(
            torch.nn.Sequential(torch.nn.Linear(64, 3), torch.nn.Softmax(1)).double(),
            digits[0],
        )
    with pytest.raises(TypeError, match=r"calls no torch.nn.Linear"):
        linear_head(torch.nn.PReLU(), digits[0])
    with pytest.raises(TypeError, match=r"calls no torch.nn.Linear"):
        linear_head(torch.nn.Softmax(1), digits[0])
    with pytest.raises(ValueError, match="sample must hold a few inputs"):
        linear_head(torch_network())


@pytest.mark.parametrize("flip", [np.s_[::-1], np.s_[:, ::-1], np.s_[::2]])
def test_a_torch_module_takes_rows_of_any_strides_and_read_only_ones(flip, digits):
    network, X = torch_network(), digits[0][:6]
    head = linear_head(network, X[:2], input_shape=(1, 8, 8))
    flipped = X[flip]
    flipped.flags.writeable = False
    logits = head.logits(head.prepare(flipped))
    np.testing.assert_array_equal(logits, head.logits(head.prepare(flipped.copy())))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_network_of_half_precision_is_read_in_single(dtype, digits):
    network = torch_network().to(getattr(torch, dtype))
    head = linear_head(network, digits[0][:3], input_shape=(1, 8, 8))
    X = head.prepare(digits[0][:3])
    logits, pullback = head.logits_and_pullback(X)
    assert X.dtype == logits.dtype == head.features(X).dtype == torch.float32
    assert pullback(logits).dtype == torch.float32


def test_scores_of_a_torch_module_keep_no_graph(digits):
    head = linear_head(torch_network(), digits[0][:3], input_shape=(1, 8, 8))
    assert not head.logits(head.prepare(digits[0][:3])).requires_grad
