"""Time and peak memory of each comparison's routes, over growing n."""

from benchmarks.compare import available, load


def benchmark_class(name, comparison):
    """Return asv's class of one comparison."""

    class Benchmark:
        params = (list(comparison.sizes), ["minimalml", *comparison.peers])
        param_names = ("n", "route")
        timeout = 600

        def setup(self, n, route):
            if route not in comparison.routes(n):
                raise NotImplementedError  # asv leaves this combination out
            self.data = comparison.setup(n)
            self.call = comparison.peers.get(route, comparison.ours)

        def time_call(self, n, route):
            self.call(self.data)

        def peakmem_call(self, n, route):
            self.call(self.data)

    Benchmark.__name__ = Benchmark.__qualname__ = name
    Benchmark.__module__ = __name__
    Benchmark.__doc__ = comparison.title
    return Benchmark


for _stem in available():
    for _number, _comparison in enumerate(load(_stem)):
        _name = _stem.title().replace("_", "") + str(_number)
        globals()[_name] = benchmark_class(_name, _comparison)
