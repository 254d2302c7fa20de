"""What the torch twin of the moments kernel has of its own: devices, chunks, tensors."""

import pytest

from minimalml.linear_model import ClassMoments, class_moments
from tests.linear_model.naive_bayes_probe.test_class_moments import (
    assert_moments,
    brute_force_moments,
    weighted_classes,
)

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.kernel


def test_tensors_add_up_and_are_removed_like_arrays(rng):
    X, y, weights = weighted_classes(rng, 60, 4, 3)
    arrays = [class_moments(X[i::2], y[i::2], 3, weights[i::2]) for i in (0, 1)]
    tensors = [
        class_moments(torch.from_numpy(X[i::2].copy()), y[i::2], 3, weights[i::2])
        for i in (0, 1)
    ]
    total = tensors[0] + tensors[1]
    assert torch.is_tensor(total.scatter)
    assert_moments(total, (sum(arrays).counts, sum(arrays).means, sum(arrays).scatter))
    left = total.remove(tensors[1])
    assert_moments(left, (arrays[0].counts, arrays[0].means, arrays[0].scatter), 1e-9)


@pytest.mark.parametrize("per_class", [False, True])
def test_tensors_never_wait_for_the_host(per_class):
    # tensors without data: a step that needs a number on the host raises
    X, y, weights = (
        torch.empty(shape, dtype=dtype, device="meta")
        for shape, dtype in (
            ((3000, 600), torch.float32), ((3000,), torch.int64), ((3000,), torch.double)
        )
    )  # fmt: skip
    one, two = (class_moments(X, y, 5, w, per_class) for w in (weights, None))
    total = one + two
    assert total.means.device.type == "meta" and total.means.shape == (5, 600)


def test_chunks_of_any_size_give_the_same_moments(rng, monkeypatch):
    X, y, weights = weighted_classes(rng, 1000, 5, 4)
    expected = brute_force_moments(X, y, 4, weights)
    from minimalml.linear_model._naive_bayes_probe._class_moments_torch import (
        CHUNK_NUMBERS,
    )

    monkeypatch.setitem(CHUNK_NUMBERS, "cpu", 7 * 5)
    assert_moments(class_moments(torch.from_numpy(X), y, 4, weights), expected)


def test_tensor_shapes_and_codes_are_checked():
    with pytest.raises(ValueError, match="y_codes must be in range"):
        class_moments(torch.ones(3, 2), [0, 1, 2], 2)
    with pytest.raises(ValueError, match=r"same length, got shape \(2,\)"):
        class_moments(torch.ones(3, 2), [0, 1], 2)


def test_float32_sums_keep_the_digits_below_an_offset(rng):
    # for devices without float64
    from minimalml.linear_model._naive_bayes_probe._class_moments_torch import (
        add_moments,
    )

    X, y, weights = weighted_classes(rng, 2000, 5, 4, "float32")
    X += 1e4
    counts, means, scatter = (torch.zeros(s) for s in ((4,), (4, 5), (1, 5)))
    rows, codes = torch.from_numpy(X), torch.from_numpy(y)
    narrow = torch.from_numpy(weights).float()
    add_moments(rows, codes, narrow, rows[0], means, scatter, counts)
    found = ClassMoments(counts, means, scatter[0], origin=rows[0])
    # means near 1e4 have a spacing of 1e-3
    expected = brute_force_moments(X, y, 4, weights)
    assert_moments(found, expected, rtol=1e-5, atol=1e-3)
