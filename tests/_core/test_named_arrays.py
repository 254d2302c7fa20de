"""Containers of arrays or tensors, named and checked once."""

import numpy as np
import pytest

from minimalml._core.models.named_arrays import (
    copy_of,
    count_nonzero,
    empty_mask,
    like_array,
    like_container,
    name_arrays,
    size_of,
)

KINDS = ["array", "tensor"]


@pytest.fixture(params=KINDS)
def as_kind(request):
    return np.array if request.param == "array" else pytest.importorskip("torch").tensor


def test_names_are_keys_or_places_and_arrays_are_live(as_kind):
    first, second = as_kind([1.0, 2.0]), as_kind([[0.0, 3.0]])
    for container, names in (
        ([first, second], [0, 1]),
        ((first, second), [0, 1]),
        ({"a": first, "b": second}, ["a", "b"]),
    ):
        named = name_arrays(container)
        assert list(named) == names
        next(iter(named.values()))[0] = 5.0
        assert first[0] == 5.0
        first[0] = 1.0
        back = like_container(container, named)
        assert type(back) is type(container) and len(back) == 2


def test_tensors_come_without_gradients():
    torch = pytest.importorskip("torch")
    weight = torch.nn.Linear(2, 2).weight
    named = name_arrays({"w": weight})
    assert not named["w"].requires_grad and named["w"].data_ptr() == weight.data_ptr()


def test_the_given_mapping_is_not_changed():
    given = {"a": np.ones(2)}
    name_arrays(given)["b"] = np.ones(2)
    assert list(given) == ["a"]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (np.ones(3), r"masks must be a list, tuple or dict .*, got ndarray\."),
        ("ab", r"masks must be a list, tuple or dict .*, got str\."),
        ([np.ones(2), [1.0]], r"mask 1 must be a NumPy array .*, got list\."),
        ({"a": 1.0}, r"mask 'a' must be a NumPy array .*, got float\."),
    ],
)
def test_other_things_are_refused_by_name(arrays, message):
    with pytest.raises(TypeError, match=message):
        name_arrays(arrays, "masks", "mask")


def test_sizes_counts_copies_and_masks(as_kind):
    array = as_kind([[0.0, -0.0, 2.0], [1.0, 0.0, float("inf")]])
    assert size_of(array) == 6 and count_nonzero(array) == 3
    assert size_of(array[:0]) == 0
    copy = copy_of(array)
    copy[0, 0] = 7.0
    assert array[0, 0] == 0 and type(copy) is type(array)
    mask = empty_mask(array)
    assert tuple(mask.shape) == (2, 3) and "bool" in str(mask.dtype)
    assert type(like_array(np.zeros(2, bool), array)) is type(mask)


def test_copies_keep_the_layout():
    assert copy_of(np.ones((3, 4), order="F")).flags.f_contiguous
    torch = pytest.importorskip("torch")
    assert copy_of(torch.ones(3, 4).T).stride() == (1, 4)
