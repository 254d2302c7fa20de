"""Which rows an epoch visits, in which order.

A sampler has ``epoch(generator)``, which returns row numbers on the CPU for one epoch,
and ``update(indices, values)``, by which a step may tell what it saw of these rows. All
draws come from one generator on the CPU, so that every device sees the same order.
"""

import torch


class Sampler:
    """Base of the samplers: a step's news are ignored.

    Parameters
    ----------
    n_rows : int
        Number of rows to draw from.
    """

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


class ReplacementSampler(Sampler):
    """Draw as many rows as there are, each at random from all."""

    def epoch(self, generator):
        """Return n independent uniform draws."""
        return torch.randint(self.n_rows, (self.n_rows,), generator=generator)


class StratifiedSampler(Sampler):
    """Visit each row once, so that every stretch has each class in its proportion.

    Parameters
    ----------
    labels : tensor of shape (n_rows,)
        Class numbers, 0, 1, ...
    """

    def __init__(self, labels):
        super().__init__(len(labels))
        self.labels = torch.as_tensor(labels).cpu()
        self.counts = torch.bincount(self.labels)

    def epoch(self, generator):
        """Return a permutation in which each class is spread evenly."""
        order = torch.randperm(self.n_rows, generator=generator)
        order = order[torch.argsort(self.labels[order], stable=True)]
        labels = self.labels[order]
        first = torch.cumsum(self.counts, 0) - self.counts
        rank = torch.arange(self.n_rows) - first[labels]
        # The k-th of m rows of a class belongs in the k-th of m equal stretches.
        jitter = torch.rand(self.n_rows, generator=generator)
        return order[torch.argsort((rank + jitter) / self.counts[labels])]


class ImportanceSampler(Sampler):
    """Draw rows with replacement, in proportion to values that the steps report.

    Parameters
    ----------
    n_rows : int
        Number of rows.

    uniform_fraction : float, default=0.1
        Share of the probability that is uniform, so that no row is forgotten.

    device : torch.device, default="cpu"
        Where the steps' values live: they are kept there, and fetched once an epoch.

    Attributes
    ----------
    probabilities : tensor of shape (n_rows,)
        Of the current epoch, on the CPU, float64.

    values : tensor of shape (n_rows,)
        Newest value of each row, at least 0; 1 until a step has reported one.
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
    "replacement": ReplacementSampler,
}


def make_sampler(sampler, n_rows):
    """Return a sampler by name, or the object itself."""
    return SAMPLERS[sampler](n_rows) if isinstance(sampler, str) else sampler
