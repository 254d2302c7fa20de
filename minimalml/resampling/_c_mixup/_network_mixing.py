"""What a network trained on mixed rows sees: partners, lambdas and where they meet.

Partners of a whole epoch are drawn before it, so that steps stay as short as those of
the same network without mixing.
"""

import numpy as np
from sklearn.utils import check_random_state


class EpochMixer:
    """Draw the partners and lambdas of an epoch, and mix what can be mixed at once.

    Parameters
    ----------
    labels : ndarray of shape (n_samples, n_targets)
        Of all rows, in the units of the bandwidth.

    sampler : TargetKernelSampler
        It is fitted here, and takes the labels as they are.

    X : ndarray of shape (n_samples, n_features)
        Inputs.

    sample_weight, groups : ndarray of shape (n_samples,) or None
        As `TargetKernelSampler.fit` takes them.

    alpha : float
        lambda ~ Beta(alpha, alpha).

    lambda_per : {"batch", "pair"}
        Whether all pairs of a batch share a lambda.

    batch_partners : bool
        Whether partners are found among two batches only.

    mixes_input : bool
        Whether inputs are mixed here; if not, batches get the partners' inputs.

    random_state : RandomState instance
    """

    def __init__(
        self, labels, X, sample_weight, groups, *, sampler, alpha, lambda_per, batch_partners,
        mixes_input, random_state,
    ):  # fmt: skip
        self.rows = {"y": labels, "X": X, "weight": sample_weight, "groups": groups}
        self.sampler = sampler
        self.alpha, self.lambda_per = alpha, lambda_per
        self.batch_partners = batch_partners
        self.mixes_input = mixes_input
        self.rng = check_random_state(random_state)
        self.is_fitted = False

    def extend(self, indices, columns, state):
        """Return mixed targets, and mixed inputs or what mixing them takes."""
        import torch

        if not self.is_fitted:
            self._keep_training_rows(state.data.training_rows)
        indices, batch_size = indices.numpy(), state.batch_size
        partners = (
            self._draw_in_batches(indices, batch_size)
            if self.batch_partners
            else self.sampler.sample(indices, random_state=self.rng)
        )
        mixing = torch.from_numpy(self._draw_mixing(len(indices), batch_size))
        mixing = mixing.to(columns["X"], non_blocking=True)[:, None]
        theirs = state.data.take(torch.from_numpy(partners))
        result = {"y": interpolate(columns["y"], theirs["y"], mixing)}
        if self.mixes_input:
            return {**result, "X": interpolate(columns["X"], theirs["X"], mixing)}
        return {**result, "partner_X": theirs["X"], "mixing": mixing}

    def _keep_training_rows(self, training_rows):
        if training_rows is not None:
            self.rows = {
                name: values if values is None else values[training_rows]
                for name, values in self.rows.items()
            }
        if not self.batch_partners:
            self._fit_sampler(**self.rows)
        self.is_fitted = True

    def _fit_sampler(self, y, X, weight, groups):
        needs_X = self.sampler.metric != "target"
        self.sampler.fit(
            y, X=X if needs_X else None, sample_weight=weight, groups=groups
        )

    def _draw_mixing(self, n_rows, batch_size):
        if self.lambda_per == "pair":
            return self.rng.beta(self.alpha, self.alpha, size=n_rows)
        n_batches = -(-n_rows // batch_size)
        mixing = self.rng.beta(self.alpha, self.alpha, size=n_batches)
        return np.repeat(mixing, batch_size)[:n_rows]

    def _draw_in_batches(self, indices, batch_size):
        """Draw partners for each batch among itself and a second random batch.

        One sampler serves all batches: their numbers are its groups.
        """
        n_rows = len(self.rows["y"])
        second = self.rng.permutation(n_rows)[: len(indices)]
        both = np.concatenate([indices, second])
        rows = {n: v if v is None else v[both] for n, v in self.rows.items()}
        batch = np.tile(np.arange(len(indices)) // batch_size, 2)
        if rows["groups"] is not None:
            _, group = np.unique(rows["groups"], return_inverse=True)
            batch = batch * (group.max() + 1) + group
        self._fit_sampler(**{**rows, "groups": batch})
        drawn = self.sampler.sample(np.arange(len(indices)), random_state=self.rng)
        return both[drawn]


def interpolate(values, others, mixing):
    """Return ``mixing * values + (1 - mixing) * others``, tensors, in one kernel."""
    return others.lerp(values, mixing)


def mix_halves(both, mixing):
    """Mix the first half of the rows with the second, each pair by its own lambda."""
    own, others = both.chunk(2)
    return interpolate(own, others, mixing.reshape(-1, *[1] * (both.ndim - 1)))


def mix_halves_alike(both, mixing):
    """Do the same where all lambdas are equal: one product here, one for the gradient."""
    import torch

    halves = both.unflatten(0, (2, -1))
    weights = torch.cat([mixing[:1], 1 - mixing[:1]], dim=1)  # (1, 2)
    return (weights @ halves.flatten(1)).reshape(halves.shape[1:])


class HiddenMixer:
    """Mix what one block of a network gives, by a hook on each block.

    Rows, then their partners, pass the blocks before it as one batch of twice the size;
    the block's hook mixes its halves, and the rest of the network sees mixed rows only.

    Parameters
    ----------
    module : torch.nn.Module
        With ``blocks``, a ``torch.nn.ModuleList``, each run once.

    lambda_per : {"batch", "pair"}
        Whether all pairs of a batch share a lambda.
    """

    def __init__(self, module, lambda_per):
        self.layer = self.mixing = None
        self.mix_halves = mix_halves if lambda_per == "pair" else mix_halves_alike
        self.handles = [
            block.register_forward_hook(self._hook(number))
            for number, block in enumerate(module.blocks, start=1)
        ]

    def _hook(self, number):
        def mix_output(block, inputs, output):
            if self.layer != number:
                return None
            # mixed precision: blocks give shorter floats than they got
            return self.mix_halves(output, self.mixing.to(output.dtype))

        return mix_output

    def forward(self, network, batch, layer):
        """Return the network's output for a batch that is mixed after ``layer``."""
        import torch

        if layer == 0:
            return network(interpolate(batch.X, batch.partner_X, batch.mixing))
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
