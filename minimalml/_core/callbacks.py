"""scikit-learn's experimental callback API, used from here only.

It may change without deprecation; what changes upstream is mended in this module.
A loop that callbacks can watch and stop::

    with fit_task(self, X, y, n_rounds) as task:
        for number in range(n_rounds):
            with task.step("round"):
                ...
            if task.is_stopped:
                break
"""

from contextlib import contextmanager, nullcontext

from sklearn.callback import CallbackSupportMixin, with_callbacks

__all__ = ["CallbackSupportMixin", "FitTask", "fit_task", "with_callbacks"]


@contextmanager
def fit_task(estimator, X=None, y=None, n_steps=None, name="fit"):
    """Show a whole fit to the callbacks of ``estimator``; gives a `FitTask`.

    ``n_steps`` is the largest number of steps, None where it is not known. What raises
    inside is no end of the task: callbacks are torn down by `with_callbacks`.
    """
    context = estimator._init_callback_context(name, max_subtasks=n_steps)
    data = {"estimator": estimator, "X": X, "y": y}
    context.call_on_fit_task_begin(**data)
    yield FitTask(context, data)
    context.call_on_fit_task_end(**data)


class FitTask:
    """A fit whose steps callbacks watch; ``is_stopped`` once one of them asks for it."""

    def __init__(self, context, data):
        self._context, self._data = context, data
        self.is_stopped = False

    @contextmanager
    def step(self, name, *, attributes=dict, inner=None):
        """Show the work inside as one step.

        ``attributes``, or what it returns, is what a copy of the estimator needs to
        predict after this step; the default stands for nothing more than it has.
        ``inner`` is an estimator that the step fits: callbacks see its own steps.
        """
        context = self._context.subcontext(task_name=name)
        inner_context = (
            nullcontext()
            if inner is None
            else context.propagate_callback_context(inner)
        )
        with inner_context:
            context.call_on_fit_task_begin(**self._data)
            yield
            self.is_stopped |= context.call_on_fit_task_end(
                **self._data, reconstruction_attributes=attributes
            )
