"""Speed and memory of global magnitude masks, over n, layers and number formats."""

import numpy as np

from minimalml.pruning import global_magnitude_mask, layerwise_magnitude_mask


def weights(n, n_layers, dtype):
    rng = np.random.default_rng(0)
    return [rng.normal(size=n // n_layers).astype(dtype) for _ in range(n_layers)]


class GlobalMask:
    """A mask of n weights in 10 layers: grows as n."""

    params = ([100_000, 1_000_000, 10_000_000], ["float16", "float32", "float64"])
    param_names = ["n", "dtype"]

    def setup(self, n, dtype):
        self.weights = weights(n, 10, dtype)

    def time_mask(self, n, dtype):
        global_magnitude_mask(self.weights, 0.9)

    def time_mask_with_floors(self, n, dtype):
        global_magnitude_mask(self.weights, 0.9, min_fraction=0.005)

    def time_layerwise(self, n, dtype):
        layerwise_magnitude_mask(self.weights, 0.9)

    def peakmem_mask(self, n, dtype):
        global_magnitude_mask(self.weights, 0.9)


class ManyLayers:
    """A million weights in ever more layers: what a layer costs by itself."""

    params = [1, 100, 1000]
    param_names = ["layers"]

    def setup(self, n_layers):
        self.weights = weights(1_000_000, n_layers, "float32")

    def time_mask(self, n_layers):
        global_magnitude_mask(self.weights, 0.9)


class Ties:
    """Weights of seven values: the walk through ties in index order."""

    def setup(self):
        rng = np.random.default_rng(0)
        self.weights = [rng.integers(-3, 4, 5_000_000).astype(np.float32)]

    def time_mask(self):
        global_magnitude_mask(self.weights, 0.5)
