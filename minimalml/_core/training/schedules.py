"""Learning rates as closed-form functions of the step: nothing to pickle or resume."""

from math import cos, pi

# Where the "step" schedule divides the rate by ten: the residual networks' recipe.
STEP_MILESTONES = (0.5, 0.75)
# Smith's one-cycle policy, with torch's values: part of the run that rises, starting
# rate and final rate as fractions of the peak.
ONECYCLE_RISE, ONECYCLE_START, ONECYCLE_END = 0.3, 1 / 25, 1 / 25e4


def constant(progress):
    """Keep the rate."""
    return 1.0


def cosine(progress):
    """Fall to zero along half a cosine."""
    return 0.5 * (1.0 + cos(pi * progress))


def linear(progress):
    """Fall to zero along a line."""
    return 1.0 - progress


def step(progress):
    """Divide the rate by ten at half and at three quarters of the run."""
    return 0.1 ** sum(progress >= milestone for milestone in STEP_MILESTONES)


def onecycle(progress):
    """Rise to the peak over the first three tenths of the run, then fall."""
    if progress < ONECYCLE_RISE:
        return _between(ONECYCLE_START, 1.0, progress / ONECYCLE_RISE)
    return _between(
        1.0, ONECYCLE_END, (progress - ONECYCLE_RISE) / (1.0 - ONECYCLE_RISE)
    )


def _between(start, end, progress):
    """Move from ``start`` to ``end`` along half a cosine."""
    return end + (start - end) * cosine(progress)


SCHEDULES = {f.__name__: f for f in (constant, cosine, linear, step, onecycle)}


def rate_factor(schedule, n_step, n_steps, n_warmup):
    """Return what multiplies the learning rate after ``n_step`` of ``n_steps`` steps.

    It first grows in proportion to the step for ``n_warmup`` steps; then ``schedule``,
    a name or a function of the progress in [0, 1), takes over.
    """
    if n_step < n_warmup:
        return (n_step + 1) / n_warmup
    shape = SCHEDULES.get(schedule, schedule)
    return shape((n_step - n_warmup) / max(1, n_steps - n_warmup))
