"""What ``/metrics`` tells, in the form that Prometheus reads."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The figures of one service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = self._counter("requests", "Requests by route and status.", "method", "route", "code")
        self.rejected = self._counter("rejected", "Requests that were not worked on.", "reason")
        self.request_seconds = self._histogram("request_seconds", "Seconds from a request to its answer.", "route")
        self.stage_seconds = self._histogram(
            "stage_seconds", "Seconds of a batch's stages, and a request's in the queue.", "stage"
        )
        self.batch_images = self._histogram("batch_images", "Images computed together.", buckets=_SIZES)

    def _counter(self, name: str, help: str, *labels: str) -> Counter:
        return Counter(f"copytrace_{name}", help, labels, registry=self.registry)

    def _histogram(self, name: str, help: str, *labels: str, buckets: tuple[float, ...] = _SECONDS) -> Histogram:
        return Histogram(f"copytrace_{name}", help, labels, buckets=buckets, registry=self.registry)

    def watch(self, name: str, help: str, value: Callable[[], float]) -> None:
        """A gauge that is asked whenever the metrics are."""
        Gauge(f"copytrace_{name}", help, registry=self.registry).set_function(value)

    def observe_stages(self, seconds: dict[str, float]) -> None:
        for stage, value in seconds.items():
            self.stage_seconds.labels(stage).observe(value)

    def text(self) -> bytes:
        return generate_latest(self.registry)
