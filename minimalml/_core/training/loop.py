"""The one loop that trains torch modules: a method writes ``step``, this does the rest.

Rows stay on the device, an epoch is one gather, and nothing inside an epoch waits for
the device: losses are summed there and fetched once, at its end.
"""

import warnings
from contextlib import nullcontext

import torch
from sklearn.exceptions import ConvergenceWarning

from minimalml._core.arrays import resolve_device
from minimalml._core.torch_random import (
    get_noise_state,
    isolated_noise,
    set_noise_state,
)
from minimalml._core.training.checkpoint import (
    load_checkpoint,
    refuse_another_run,
    save_atomically,
)
from minimalml._core.training.data import TrainingData
from minimalml._core.training.distributed import make_strategy
from minimalml._core.training.inference import evaluation_mode
from minimalml._core.training.samplers import make_sampler
from minimalml._core.training.state import TrainingOptions, TrainingState
from minimalml._core.training.update import Updater, make_optimizers
from minimalml._core.training.weight_average import (
    BestState,
    WeightAverage,
    batch_norms,
    fresh_batch_statistics,
)


def train(step, module, columns, *, state=None, **options):
    """Train ``module`` on rows by ``step``.

    Parameters
    ----------
    step : callable
        ``step(batch, state)`` returns the mean loss over the rows of a `data.Batch` as
        a scalar tensor; or a dictionary of named losses, whose sum is minimised; or a
        list of ``(optimizer_index, closure)``: each closure's loss is minimised in turn
        by that optimiser.

    module : torch.nn.Module
        Trained in place, and left in evaluation mode.

    columns : dict of str to array of shape (n_rows, ...)
        Rows; ``weight`` holds sample weights.

    state : TrainingState, default=None
        Of a run to go on from, with its moments, averages and generators.

    **options
        See `TrainingOptions`.

    Returns
    -------
    TrainingState

    Raises
    ------
    ValueError
        If loss, weights or score are not finite after the first epoch, the weights of
        rows are all 0, or the checkpoint is of another run.
    """
    return _Run(step, module, columns, TrainingOptions(**options), state).fit()


class _Run:
    """One call of `train`."""

    def __init__(self, step, module, columns, options, state):
        self.options = options
        self.device = resolve_device(options.device)
        dtype = getattr(torch, options.dtype)
        module.to(self.device, dtype).train()
        self.data = TrainingData(
            columns, self.device, dtype, options.rows, options.in_memory_limit
        )
        self.batch_size = options.rows_a_batch(self.data.n_rows)
        self.sampler = make_sampler(options.sampler, self.data.n_rows)
        self.strategy = make_strategy(options.strategy)
        self.best = BestState(module)
        self.is_stopped = self.is_diverged = False
        self.state = TrainingState() if state is None else state
        self._prepare_state(module)
        if options.checkpoint is not None:
            self._resume()
        self.updater = Updater(step, options, self.state, self.strategy, self.device)

    def _prepare_state(self, module):
        """Fill a fresh state, or continue the one of an earlier run."""
        options, state = self.options, self.state
        state.module, state.data, state.sampler = module, self.data, self.sampler
        state.batch_size = self.batch_size
        state.renew_optimizers(make_optimizers(module, options))
        if state.average is not None:
            state.average.restart_inplace()
        kind = options.weight_average
        if state.average is None or state.average.kind != kind:
            state.average = None if kind is None else WeightAverage(module, kind)
        if state.order_generator is None:
            state.order_generator = torch.Generator().manual_seed(options.order_seed)
        state.load_pending()
        if state.average is not None:
            state.average.detach_inplace()
        if state.epoch > 0:
            self.best.keep(state.epoch)
        state.first_epoch, state.n_steps = state.epoch, 0

    def fit(self):
        """Run the epochs."""
        state = self.state
        with isolated_noise(self.device, self.options.noise_seed):
            if state.noise is not None:
                set_noise_state(state.noise, self.device)
            try:
                while not self._is_finished():
                    self._epoch()
                self._finish()
            finally:
                state.network, state.data = state.module, None
                state.module.eval()
        return state

    def _is_finished(self):
        options, state = self.options, self.state
        if self.is_stopped or state.epoch - state.first_epoch >= options.max_epochs:
            return True
        patience = options.n_iter_no_change
        return options.early_stopping and self.best.n_without_improvement >= patience

    def _epoch(self):
        options, state = self.options, self.state
        if options.on_epoch_begin is not None and self.strategy.is_main:
            options.on_epoch_begin(state)
        order = self._order()
        n_batches = -(-len(order) // self.batch_size)
        self.updater.run_epoch(self._batches(order), n_batches)
        self._end_epoch(len(order))

    def _batches(self, order):
        extend = self.options.extend
        return self.data.batches(
            order,
            self.batch_size,
            extend=extend and (lambda *chunk: extend(*chunk, self.state)),
            rank=self.strategy.rank,
            world_size=self.strategy.world_size,
        )

    def _order(self):
        """Return the rows of an epoch in order."""
        order = self.sampler.epoch(self.state.order_generator)
        n_last, n_processes = len(order) % self.batch_size, self.strategy.world_size
        # what a process takes of the last batch, if it is large enough to share
        is_single = n_last == 1 or n_processes <= n_last < 2 * n_processes
        if is_single and len(order) > 1 and batch_norms(self.state.module):
            return order[:-n_last]  # batch norm has no variance of a single row
        return order

    def _end_epoch(self, n_rows):
        options, state = self.options, self.state
        state.epoch += 1
        progress = (state.epoch - state.first_epoch) / options.max_epochs
        if state.average is not None:
            state.average.after_epoch(progress)
        with self._averaged_weights():
            losses, score = self._measure(n_rows)
            if losses is None:
                return self._diverge()
            self._write_down(losses, score)
            if options.on_epoch_end is not None and self.strategy.is_main:
                self.is_stopped = bool(options.on_epoch_end(state))
        self.is_stopped = self._any_process(self.is_stopped)
        if options.checkpoint is not None:
            self._save()

    def _averaged_weights(self):
        average = self.state.average
        return nullcontext() if average is None else average.applied()

    def _measure(self, n_rows):
        """Fetch losses and score from the device at once; None if not finite."""
        options, state = self.options, self.state
        totals = self.updater.totals
        parts = [self.strategy.all_reduce(t) / n_rows for t in totals.values()]
        weights = torch.stack(
            torch._foreach_norm(list(state.module.parameters()), ord=float("inf"))
        )
        parts.append(weights.detach().max())
        if options.validate is not None:
            with evaluation_mode(state.module), torch.no_grad():
                parts.append(torch.as_tensor(options.validate(state)))
        dtype = torch.float32 if self.device.type == "mps" else torch.float64
        parts = torch.stack([p.to(self.device, dtype) for p in parts])
        values = parts.tolist()
        is_finite = all(abs(v) < float("inf") for v in values)
        losses = dict(zip(totals, values, strict=False)) if is_finite else None
        return losses, values[-1] if options.validate is not None else None

    def _write_down(self, losses, score):
        state, options = self.state, self.options
        loss = losses.pop("loss")
        state.loss_curve.append(loss)
        for name, value in losses.items():
            state.losses.setdefault(name, []).append(value)
        if score is not None:
            state.validation_scores.append(score)
        is_watched = options.early_stopping and score is not None
        self.best.consider(score if is_watched else -loss, state.epoch, options.tol)
        if options.verbose and self.strategy.is_main:
            print(_line(state, losses if options.verbose > 1 else {}))

    def _any_process(self, flag):
        if self.strategy.world_size == 1:
            return flag
        flags = torch.tensor(float(flag), device=self.device)
        return bool(self.strategy.all_reduce(flags) > 0)

    def _diverge(self):
        """Go back to the best state, if there was one."""
        if self.best.copies is None:
            raise ValueError(
                "The loss, the weights or the validation score are not finite after the "
                "first epoch: lower learning_rate, set training.gradient_clip, or scale "
                "X and y."
            )
        warnings.warn(
            "The loss, the weights or the validation score are not finite after epoch "
            f"{self.state.epoch}: the weights of epoch {self.best.epoch} are used. Lower "
            "learning_rate, set training.gradient_clip, or scale X and y.",
            ConvergenceWarning,
            stacklevel=2,
        )
        self.state.epoch -= 1
        self.is_stopped = self.is_diverged = True

    def _finish(self):
        """Leave the weights that the run was for in the module."""
        options, state = self.options, self.state
        is_restored = self.is_diverged or options.early_stopping
        if self.is_diverged:
            state.average = None
        if state.average is not None:
            state.average.attach_inplace()
        if is_restored:
            self.best.restore_inplace()
        state.best_epoch = self.best.epoch if is_restored else state.epoch
        if state.average is not None and batch_norms(state.module):
            self._renew_batch_statistics()
        self.strategy.finish(state.module)
        state.noise = get_noise_state(self.device)

    def _renew_batch_statistics(self):
        state, batches = self.state, self._batches(self._order())
        with fresh_batch_statistics(state.module), torch.no_grad():
            for batch in batches:
                losses = self.updater.step(batch, state)
                for _, closure in losses if isinstance(losses, list) else ():
                    closure()

    def _save(self):
        self.state.noise = get_noise_state(self.device)
        if self.strategy.is_main:
            parts = {name: part.state_dict() for name, part in self._parts().items()}
            parts["description"] = self.description
            save_atomically(parts, self.options.checkpoint)

    def _resume(self):
        """Go on from the checkpoint if there is one of this very run."""
        path = self.options.checkpoint
        saved, self.description = load_checkpoint(path), self._description()
        if saved is not None:
            refuse_another_run(saved.pop("description"), self.description, path)
            for name, part in self._parts().items():
                part.load_state_dict(saved[name])

    def _parts(self):
        return {
            "module": self.state.module,
            "state": self.state,
            "best": self.best,
            "sampler": self.sampler,
        }

    def _description(self):
        return {
            **self.options.description,
            "network": str(self.state.module),
            "batch_size": self.batch_size,
            "n_rows": self.data.n_rows,
            "rows": self.data.digest(),
        }


def _line(state, losses):
    """Return what an epoch prints."""
    parts = [f"epoch {state.epoch}", f"loss {state.loss_curve[-1]:.6g}"]
    parts += [f"{name} {value:.6g}" for name, value in losses.items()]
    if state.validation_scores:
        parts.append(f"validation score {state.validation_scores[-1]:.6g}")
    return "  ".join(parts)
