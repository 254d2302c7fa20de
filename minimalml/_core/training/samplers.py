"""Which rows an epoch visits, in which order.

A sampler has ``epoch(generator)``, which returns row numbers on the CPU for one epoch,
and ``update(indices, values)``, by which a step may tell what it saw of these rows. All
draws come from one generator on the CPU, so that every device sees the same order.
"""

import torch


class Sampler:
    """Base of the samplers: a step's news are ignored."""

    def __init__(self, n_rows):
        self.n_rows = n_rows

    def update(self, indices, values):
        """Take note of ``values`` that a step found for the rows ``indices``."""

    def state_dict(self):
        """Return what a resumed run needs."""
        return {}

    def load_state_dict(self, state):
        """Take what `state_dict` returned."""


class SequentialSampler(Sampler):
    """Visit the rows in their own order."""

    def epoch(self, generator):
        """Return 0, 1, ..., n - 1."""
        return torch.arange(self.n_rows)


class PermutationSampler(Sampler):
    """Visit each row once, in random order."""

    def epoch(self, generator):
        """Return a random permutation."""
        return torch.randperm(self.n_rows, generator=generator)


class ImportanceSampler(Sampler):
    """Draw rows with replacement, in proportion to values that the steps report.

    ``values`` has the newest of each row, at least 0, on the steps' ``device``; 1 until
    one is reported. A share ``uniform_fraction`` of the probability is uniform, so that
    no row is forgotten. ``probabilities`` are those of the current epoch.
    """

    def __init__(self, n_rows, uniform_fraction=0.1, device="cpu"):
        super().__init__(n_rows)
        self.uniform_fraction = uniform_fraction
        self.values = torch.ones(n_rows, device=device)
        self.probabilities = torch.full((n_rows,), 1.0 / n_rows, dtype=torch.float64)

    def epoch(self, generator):
        """Return n draws by the values known now."""
        values = self.values.cpu().double()
        uniform = torch.full_like(values, 1.0 / self.n_rows)
        total = values.sum()
        shares = values / total if total > 0 else uniform
        share = self.uniform_fraction
        self.probabilities = share * uniform + (1.0 - share) * shares
        bounds = self.probabilities.cumsum(0)
        # torch.multinomial takes at most 2 ** 24 rows; a search has no limit.
        points = torch.rand(self.n_rows, dtype=torch.float64, generator=generator)
        draws = torch.searchsorted(bounds, points * bounds[-1], right=True)
        return draws.clamp_(max=self.n_rows - 1)

    def update(self, indices, values):
        """Replace the values of some rows; stays on the device."""
        self.values[indices] = values.detach().to(self.values)

    def state_dict(self):
        """Return the values."""
        return {"values": self.values}

    def load_state_dict(self, state):
        """Take the values."""
        self.values.copy_(state["values"])


SAMPLERS = {
    "sequential": SequentialSampler,
    "permutation": PermutationSampler,
}


def make_sampler(sampler, n_rows):
    """Return a sampler by name, or the object itself."""
    return SAMPLERS[sampler](n_rows) if isinstance(sampler, str) else sampler
