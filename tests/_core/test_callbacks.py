import pytest
from sklearn.base import BaseEstimator
from sklearn.callback import ScoringMonitor

from minimalml._core.callbacks import CallbackSupportMixin, fit_task, with_callbacks

X, Y = [[0.0], [1.0]], [0.0, 1.0]


class Counter(CallbackSupportMixin, BaseEstimator):
    """Counts to ``n_rounds`` in its fit, and predicts how far it came."""

    def __init__(self, n_rounds=4):
        self.n_rounds = n_rounds

    @with_callbacks
    def fit(self, X, y):
        with fit_task(self, X, y, self.n_rounds) as task:
            for number in range(self.n_rounds):
                with task.step("round", attributes={"shown_": number + 1}):
                    self.n_rounds_ = number + 1
                if task.is_stopped:
                    break
        return self

    def score(self, X, y):
        return self.shown_


class Outer(CallbackSupportMixin, BaseEstimator):
    """Fits another estimator in its only step."""

    def __init__(self, inner):
        self.inner = inner

    @with_callbacks
    def fit(self, X, y):
        with fit_task(self, X, y, 1) as task, task.step("inner", inner=self.inner):
            self.inner.fit(X, y)
        return self


class Recorder:
    """Writes down the hooks that are called, and stops after some rounds."""

    max_propagation_depth = None

    def __init__(self, stop_after=99):
        self.stop_after, self.calls = stop_after, []

    def setup(self, estimator, context):
        self.calls.append("setup")

    def teardown(self, estimator, context):
        self.calls.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X, y):
        assert X is not None and y is not None
        self.calls.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, X, y):
        n_rounds = getattr(estimator, "n_rounds_", None)
        self.calls.append(f"end {context.task_name} {n_rounds}")
        return context.task_name == "round" and context.task_id + 1 == self.stop_after


def test_hooks_surround_the_work():
    recorder = Recorder()
    Counter(2).set_callbacks(recorder).fit(X, Y)
    assert recorder.calls == [
        "setup", "begin fit", "begin round", "end round 1", "begin round",
        "end round 2", "end fit 2", "teardown",
    ]  # fmt: skip


def test_a_callback_stops_the_steps():
    recorder = Recorder(stop_after=2)
    assert Counter(5).set_callbacks(recorder).fit(X, Y).n_rounds_ == 2
    assert recorder.calls[-2:] == ["end fit 2", "teardown"]


def test_nobody_watching_changes_nothing():
    assert Counter(3).fit(X, Y).n_rounds_ == 3


def test_monitors_see_the_attributes_of_each_step():
    monitor = ScoringMonitor(scoring=lambda model, X, y: {"shown": model.shown_})
    model = Counter(3).set_callbacks(monitor).fit(X, Y)
    rounds = [r["shown"] for r in monitor.get_logs().data if r["task_name"] == "round"]
    assert rounds == [1, 2, 3]
    assert not hasattr(model, "shown_")


def test_steps_of_an_inner_estimator_are_shown():
    recorder = Recorder()
    Outer(Counter(2)).set_callbacks(recorder).fit(X, Y)
    assert [c for c in recorder.calls if "round" in c] == [
        "begin round", "end round 1", "begin round", "end round 2",
    ]  # fmt: skip


def test_an_error_is_no_end():
    recorder = Recorder()

    class Failing(Counter):
        @with_callbacks
        def fit(self, X, y):
            with fit_task(self, X, y) as task, task.step("round"):
                raise ValueError("too bad")

    with pytest.raises(ValueError, match="too bad"):
        Failing().set_callbacks(recorder).fit(X, Y)
    assert recorder.calls == ["setup", "begin fit", "begin round", "teardown"]


def test_too_many_steps_are_noticed():
    class Endless(Counter):
        @with_callbacks
        def fit(self, X, y):
            with fit_task(self, X, y, 1) as task:
                for _ in range(2):
                    with task.step("round"):
                        pass

    with pytest.raises(ValueError, match="maximum number of children"):
        Endless().fit(X, Y)
