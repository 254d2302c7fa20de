"""What a network trained on mixed rows sees: partners, lambdas and where they meet.

Partners of a chunk of an epoch are drawn at once, from labels that stay on the CPU, so
that steps are as short as those of the same network without mixing. Only the numbers of
the partners travel to the device, where the rows are.
"""

import numpy as np

from minimalml.resampling._c_mixup._mixing import draw_mixing


class EpochMixer:
    """Draw partners and lambdas of the rows of an epoch, and mix what can be at once.

    ``labels`` of all rows are in the units of the bandwidth of ``sampler``, which is
    fitted here; ``groups`` are numbers from 0 on. With ``mixes_input`` False batches get
    the inputs of the partners.
    """

    def __init__(
        self, labels, sample_weight, groups, *, sampler, alpha, lambda_per,
        batch_partners, mixes_input, random_state,
    ):  # fmt: skip
        self.rows = (labels, sample_weight, groups)
        self.sampler, self.batch_partners = sampler, batch_partners
        self.alpha, self.lambda_per = alpha, lambda_per
        self.mixes_input, self.rng = mixes_input, random_state
        self.is_fitted = False

    def extend(self, indices, columns, state):
        """Return mixed targets, and mixed inputs or what mixing them takes."""
        import torch

        if not self.is_fitted:
            self.keep_rows(state.data.training_rows)
        indices = indices.numpy()
        partners = self.draw_partners(indices, state.batch_size)
        mixing = torch.from_numpy(self.draw_shares(len(indices), state.batch_size))
        mixing = mixing.to(columns["X"], non_blocking=True)[:, None]
        theirs = state.data.take(torch.from_numpy(partners))
        mixed = {"y": theirs["y"].lerp_(columns["y"], mixing)}
        if self.mixes_input:
            return {**mixed, "X": theirs["X"].lerp_(columns["X"], mixing)}
        return {**mixed, "partner_X": theirs["X"], "mixing": mixing}

    def keep_rows(self, training_rows=None):
        """Leave out the rows that are kept for validation; None keeps all."""
        if training_rows is not None:
            self.rows = _take(self.rows, training_rows)
        if not self.batch_partners:
            self._fit_sampler(*self.rows)
        self.is_fitted = True

    def _fit_sampler(self, labels, sample_weight, groups):
        self.sampler.fit(labels, sample_weight=sample_weight, groups=groups)

    def draw_shares(self, n_rows, batch_size):
        """Draw a lambda for each row."""
        n_alike = 1 if self.lambda_per == "pair" else batch_size
        mixing = draw_mixing(-(-n_rows // n_alike), self.alpha, "pair", self.rng)
        return np.repeat(mixing, n_alike)[:n_rows]

    def draw_partners(self, indices, batch_size):
        """Draw a partner for each row, from all rows or from two batches."""
        if not self.batch_partners:
            return self.sampler.sample(indices, random_state=self.rng)
        # each batch and a second random one; one sampler serves all, as its groups
        second = self.rng.permutation(len(self.rows[0]))[: len(indices)]
        both = np.concatenate([indices, second])
        labels, sample_weight, groups = _take(self.rows, both)
        batch = np.tile(np.arange(len(indices)) // batch_size, 2)
        if groups is not None:
            batch = batch * (groups.max() + 1) + groups
        self._fit_sampler(labels, sample_weight, batch)
        drawn = self.sampler.sample(np.arange(len(indices)), random_state=self.rng)
        return both[drawn]


def _take(rows, picked):
    return tuple(values if values is None else values[picked] for values in rows)


class HiddenMixer:
    """Mix what one block of a network gives, by a hook on each block.

    Rows, then their partners, pass the blocks before it as one batch of twice the size;
    the block's hook mixes its halves, and the rest of the network sees mixed rows only.
    """

    def __init__(self, module):
        self.layer = self.mixing = None
        self.handles = [
            block.register_forward_hook(self._hook(number))
            for number, block in enumerate(module.blocks, start=1)
        ]

    def _hook(self, number):
        def mix_output(block, inputs, output):
            if self.layer != number:
                return None
            own, others = output.chunk(2)
            # mixed precision: blocks give shorter floats than they got
            mixing = self.mixing.to(output.dtype)
            return others.lerp(own, mixing.reshape(-1, *[1] * (own.ndim - 1)))

        return mix_output

    def forward(self, network, batch, layer):
        """Return the network's output for a batch that is mixed after ``layer``."""
        import torch

        if layer == 0:
            return network(batch.partner_X.lerp(batch.X, batch.mixing))
        self.layer, self.mixing = layer, batch.mixing
        try:
            output = network(torch.cat([batch.X, batch.partner_X]))
        finally:
            self.layer = self.mixing = None
        if len(output) != len(batch.X):
            raise ValueError(
                f"module gave {len(output)} rows for {len(batch.X)} mixed ones: its "
                "forward must run each of its blocks once."
            )
        return output

    def remove(self):
        """Take the hooks off the module."""
        for handle in self.handles:
            handle.remove()
