"""Random numbers of torch that leave the user's own stream alone."""

from contextlib import contextmanager

import torch


def get_noise_state(device):
    """Return the state of the generators that layers such as dropout draw from."""
    states = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        states["accelerator"] = _accelerator(device).get_rng_state()
    return states


def set_noise_state(states, device):
    """Set what `get_noise_state` returned; without an accelerator's, it keeps its own."""
    torch.set_rng_state(states["cpu"])
    if device.type != "cpu" and "accelerator" in states:
        _accelerator(device).set_rng_state(states["accelerator"])


def seed_noise(seed, device):
    """Seed the CPU generator and that of ``device``, and no other device's."""
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        _accelerator(device).manual_seed(seed)


@contextmanager
def isolated_noise(device, seed=None):
    """Put the global generators back on exit, seeded with ``seed`` inside."""
    before = get_noise_state(device)
    try:
        if seed is not None:
            seed_noise(seed, device)
        yield
    finally:
        set_noise_state(before, device)


def _accelerator(device):
    return {"cuda": torch.cuda, "mps": torch.mps}[device.type]
