"""Speed and memory of drawing partners and mixing rows."""

import numpy as np

from minimalml.mixup import CMixup, TargetKernelSampler


def labels(n):
    return np.random.default_rng(0).normal(size=n)


class SortedPartners:
    """One epoch of partners by one column of labels: grows as n log n."""

    params = ([2_000, 20_000, 200_000, 1_000_000], ["gaussian", "tophat"])
    param_names = ["n", "kernel"]

    def setup(self, n, kernel):
        self.y = labels(n)
        self.sampler = TargetKernelSampler(kernel=kernel)

    def time_fit(self, n, kernel):
        self.sampler.fit(self.y)

    def time_fit_and_sample(self, n, kernel):
        self.sampler.fit(self.y).sample(random_state=0)

    def peakmem_fit_and_sample(self, n, kernel):
        self.sampler.fit(self.y).sample(random_state=0)


class BlockPartners:
    """One epoch of partners by several columns: grows as n^2, memory does not."""

    params = [2_000, 8_000]
    param_names = ["n"]

    def setup(self, n):
        self.Y = np.random.default_rng(0).normal(size=(n, 3))

    def time_exact(self, n):
        TargetKernelSampler().fit(self.Y).sample(random_state=0)

    def time_neighbours(self, n):
        TargetKernelSampler(max_neighbors=50).fit(self.Y).sample(random_state=0)

    def peakmem_exact(self, n):
        TargetKernelSampler().fit(self.Y).sample(random_state=0)


class Resampling:
    """The whole resampler on a table of 20 columns."""

    params = [2_000, 20_000, 200_000]
    param_names = ["n"]

    def setup(self, n):
        self.X = np.random.default_rng(1).normal(size=(n, 20))
        self.y = labels(n)

    def time_fit_resample(self, n):
        CMixup(random_state=0).fit_resample(self.X, self.y)
