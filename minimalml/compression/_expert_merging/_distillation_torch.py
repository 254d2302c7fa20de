"""Training of changed experts towards the outputs of the network that they came from."""

import torch
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from minimalml._core.training.estimator import weighted_mean
from minimalml._core.training.inference import map_batches
from minimalml._core.training.loop import train
from minimalml.compression._expert_merging._mixture_torch import (
    Expert,
    LowRankRows,
    linear_of,
)

# The reference's; the decay of weights is small enough not to matter over a few epochs.
RECIPE = {"optimizer": "adamw", "schedule": "cosine", "weight_decay": 1e-4}
# Share that the running sensitivity keeps at each step: the reference's.
SENSITIVITY_KEPT = 0.85
# All rows stay for the first twentieth of the steps, the last fifth is for recovery.
WARMUP_DIVISOR, N_WARMUPS_AT_END = 20, 4


def distil(student, teacher, columns, *, distillation_weight, temperature, **options):
    """Train all of ``student`` but its routers on labels and the teacher's outputs."""
    parameter = next(student.parameters())
    device, dtype = parameter.device, parameter.dtype
    outputs = map_batches(teacher, teacher, [columns["X"]], device=device, dtype=dtype)
    columns = columns | {"teacher": outputs}

    def step(batch, state):
        outputs = state.network(batch.X)
        losses = cross_entropy(outputs, batch.y, reduction="none")
        softened = [log_softmax(t / temperature, 1) for t in (outputs, batch.teacher)]
        apart = kl_div(*softened, reduction="none", log_target=True).sum(1)
        return weighted_mean(losses + distillation_weight * apart, batch.weight)

    routers = [layer.router.requires_grad_(False) for layer in student.layers]
    try:
        return train(
            step, student, columns, device=device,
            dtype=str(dtype).removeprefix("torch."), **RECIPE, **options,
        )  # fmt: skip
    finally:
        for router in routers:
            router.requires_grad_(True)


def replace_experts(layer, experts, labels):
    """Give a layer the experts of stacked arrays; ``labels`` say which takes whose place."""
    like = layer.experts[0].w_in.weight
    stacks = (*experts.hidden_in, *experts.hidden_out, *experts.shared)
    stacks = [torch.as_tensor(stack).to(like) for stack in stacks]
    replaced = torch.nn.ModuleList(
        Expert(linear_of(w_in, b_in), linear_of(w_out, b_out))
        for w_in, b_in, w_out, b_out in zip(*stacks, strict=True)
    )
    layer.experts = replaced.train(layer.training)
    layer.expert_of = torch.as_tensor(labels, device=like.device)[layer.expert_of]


def compress_layer(layer, name, decompositions):
    """Put decomposed matrices in place of the layers ``name`` of all experts."""
    for expert, parts in zip(layer.experts, decompositions, strict=True):
        old = getattr(expert, name)
        device = old.weight.device
        tensors = [torch.as_tensor(part, device=device) for part in parts]
        compressed = LowRankRows(*tensors, old.bias)
        setattr(expert, name, compressed.train(layer.training))


def matrix_slots(module):
    """Yield each expert of a mixture with the name of each of its matrices."""
    for layer in module.layers:
        for expert in layer.experts:
            yield from ((expert, name) for name in ("w_in", "w_out"))


def sizes_of_matrices(module):
    """Return the numbers stored for experts' matrices, and those of the full matrices.

    Neither biases nor indices of rows are counted.
    """
    matrices = [getattr(expert, name) for expert, name in matrix_slots(module)]
    parts = [part for m in matrices for part in (m.left, m.right, m.rows)]
    n_full = sum(m.left.out_features * m.right.in_features for m in matrices)
    return sum(part.weight.numel() for part in parts if part is not None), n_full


class RowRemoval:
    """Remove full rows during training, those to which the loss is least sensitive.

    Called after each of ``n_steps`` steps; all layers stand in one ranking. A removed row
    may grow back until the end.
    """

    def __init__(self, module, keep_fraction, n_steps):
        self.keep_fraction, self.n_steps = keep_fraction, n_steps
        slots = matrix_slots(module)
        self.weights = [getattr(expert, name).rows.weight for expert, name in slots]
        self.sensitivity = [torch.zeros_like(weight) for weight in self.weights]
        self.n_entries = sum(weight.numel() for weight in self.weights)
        self.lengths = torch.cat(  # of all rows
            [w.new_full((len(w),), w.shape[1], dtype=torch.int64) for w in self.weights]
        )

    @torch.no_grad()
    def __call__(self, state):
        """Note the gradients of a step, and zero the rows below the cut."""
        products = torch._foreach_mul(self.weights, [w.grad for w in self.weights])
        torch._foreach_abs_(products)
        torch._foreach_lerp_(self.sensitivity, products, 1 - SENSITIVITY_KEPT)
        self.cut(share_of_rows(state.n_steps, self.n_steps, self.keep_fraction))

    @torch.no_grad()
    def cut(self, share):
        """Zero the rows that are not among the first ``share`` of all entries."""
        scores = torch.cat([s.mean(1) for s in self.sensitivity])
        order = scores.argsort(descending=True, stable=True)
        n_entries = share * self.n_entries + 1e-9
        is_kept = torch.zeros_like(scores, dtype=torch.bool)
        is_kept[order] = self.lengths[order].cumsum(0) <= n_entries
        masks = is_kept.split([len(weight) for weight in self.weights])
        for weight, mask in zip(self.weights, masks, strict=True):
            weight.mul_(mask[:, None])

    def finish(self, module):
        """Make the last cut, also of a run that was stopped, and store what is left."""
        self.cut(self.keep_fraction)
        for expert, name in matrix_slots(module):
            setattr(expert, name, getattr(expert, name).without_zero_rows())


def share_of_rows(step, n_steps, keep_fraction):
    """Return the share of entries kept after a step, counted from 1."""
    warmup = n_steps // WARMUP_DIVISOR
    if step <= warmup:
        return 1.0
    if step > n_steps - N_WARMUPS_AT_END * warmup:
        return keep_fraction
    falls = n_steps - (N_WARMUPS_AT_END + 1) * warmup
    return keep_fraction + (1 - keep_fraction) * (1 - (step - warmup) / falls) ** 3
