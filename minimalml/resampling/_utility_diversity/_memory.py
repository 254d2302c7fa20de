"""What a run of batch selection remembers: kept samples, and how much scores vary."""

from typing import Any, NamedTuple

from minimalml._core.arrays import array_namespace, is_torch_tensor
from minimalml.resampling._utility_diversity._projection import as_like

# Equal values, each computed on its own way, differ by some times the machine precision.
ROUNDINGS = 100


class Spread(NamedTuple):
    """Count, mean and squared deviations of values so far, as arrays of no dimension."""

    count: Any
    mean: Any
    squares: Any

    @classmethod
    def of_nothing(cls, like):
        zero = like[0, 0, 0] * 0
        return cls(zero, zero, zero)

    def with_values(self, values, is_counted):
        """Return the spread of what was seen and of the values that count."""
        xp = array_namespace(values)
        n_new = is_counted.sum(dtype=values.dtype)
        mean = xp.where(is_counted, values, 0).sum() / xp.clip(n_new, 1, None)
        squares = xp.where(is_counted, (values - mean) ** 2, 0).sum()
        count = self.count + n_new
        share, step = n_new / xp.clip(count, 1, None), mean - self.mean
        return Spread(
            count,
            self.mean + share * step,
            self.squares + squares + self.count * share * step**2,
        )

    def deviation(self):
        """Return the population standard deviation; 0 of nothing, and of rounding."""
        xp = array_namespace(self.squares)
        deviation = xp.sqrt(self.squares / xp.clip(self.count, 1, None))
        rounding = ROUNDINGS * xp.finfo(self.mean.dtype).eps * xp.abs(self.mean)
        return xp.where(deviation > rounding, deviation, 0)


def balancing_ratio(of_utility, of_diversity):
    """Return the ratio of two spreads' deviations, 1 while one of them is 0."""
    xp = array_namespace(of_utility.squares)
    wanted, own = of_utility.deviation(), of_diversity.deviation()
    is_known = (wanted > 0) & (own > 0)
    return xp.where(is_known, wanted / xp.where(is_known, own, 1), 1)


class BatchMemory:
    """The projection, a ring of the latest kept samples, and the spreads of scores."""

    def __init__(self, projection, buffer_size, like):
        xp, kind = array_namespace(like), dict(dtype=like.dtype, device=like.device)
        self.projection = projection.like(like)
        self.ring = xp.zeros((buffer_size, projection.n_components), **kind)
        self.ring_squares = xp.zeros(buffer_size, **kind)  # squared lengths
        self.n_pushed = 0
        self.utility_spread = self.diversity_spread = Spread.of_nothing(like)

    def move_to(self, like):
        """Go where ``like`` lives, if the memory is elsewhere."""
        xp, ring = array_namespace(self.ring), self.ring
        is_here = xp is array_namespace(like)
        is_here &= (ring.dtype, ring.device) == (like.dtype, like.device)
        # what was made under torch.inference_mode may be written to there alone
        is_frozen = is_torch_tensor(ring) and ring.is_inference()
        if is_here and not (is_frozen and not xp.is_inference_mode_enabled()):
            return
        self.projection = self.projection.like(like)
        for name in ("ring", "ring_squares"):  # copies, to write to
            setattr(self, name, as_like(getattr(self, name), like) * 1)
        for name in ("utility_spread", "diversity_spread"):
            moved = (as_like(value, like) for value in getattr(self, name))
            setattr(self, name, Spread(*moved))

    def spreads_with(self, utility, diversity, is_counted):
        """Return both spreads, with the values of a batch that count."""
        of_utility = self.utility_spread.with_values(utility, is_counted)
        if not self.n_pushed:  # nothing to be diverse from
            return of_utility, self.diversity_spread
        return of_utility, self.diversity_spread.with_values(diversity, is_counted)

    def push(self, projected):
        """Write projected samples over the oldest ones."""
        size = len(self.ring)
        n_skipped = max(0, len(projected) - size)
        start = (self.n_pushed + n_skipped) % size
        self.n_pushed += len(projected)
        projected = projected[n_skipped:]
        head, tail = projected[: size - start], projected[size - start :]
        for rows, place in ((head, start), (tail, 0)):
            self.ring[place : place + len(rows)] = rows
            self.ring_squares[place : place + len(rows)] = (rows * rows).sum(1)

    def ordered(self):
        """Return a copy of the ring's samples, the oldest first."""
        oldest = self.n_pushed % len(self.ring)
        parts = [self.ring[oldest:], self.ring[:oldest]]
        if self.n_pushed < len(self.ring):
            parts = parts[1:]
        return array_namespace(self.ring).concatenate(parts, 0)

    def mean_distances(self, projected):
        """Return the mean distance of each projected sample to those of the ring."""
        xp, n_filled = array_namespace(projected), min(self.n_pushed, len(self.ring))
        if not n_filled:
            return projected.sum(1) * 0
        own = (projected * projected).sum(1)
        products = projected @ self.ring[:n_filled].T
        squares = own[:, None] + self.ring_squares[:n_filled] - 2 * products
        return xp.sqrt(xp.clip(squares, 0, None)).mean(1)
