"""Growth of a training run with the number of rows and the width of the network."""

import numpy as np

from minimalml._core.modules import MLP
from minimalml._core.training_loop import train


class Training:
    """Two epochs of a regression."""

    params = ([1_000, 10_000, 100_000], [64, 512])
    param_names = ("n_rows", "width")

    def setup(self, n_rows, width):
        rng = np.random.default_rng(0)
        X = rng.standard_normal((n_rows, 32), dtype=np.float32)
        self.rows = {"X": X, "y": X[:, 0]}
        self.module = MLP(32, [width], 1)

    def run(self):
        def step(batch, state):
            return ((state.network(batch.X)[:, 0] - batch.y) ** 2).mean()

        train(step, self.module, self.rows, batch_size=256, max_epochs=2)

    def time_two_epochs(self, n_rows, width):
        self.run()

    def peakmem_two_epochs(self, n_rows, width):
        self.run()
