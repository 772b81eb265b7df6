"""The mean duration of each endpoint as this process knows it, and the limit for outliers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from ..records import Row

#: With fewer requests a mean says too little.
MIN_HITS = 10


class Means:
    """Running means. Only the flusher learns; requests and the watcher read ``limits_ns``.

    ``limits_ns`` holds the duration above which a request is an outlier, for every endpoint whose
    mean is known.
    """

    def __init__(self) -> None:
        self.limits_ns: dict[str, int] = {}
        self._known: dict[str, tuple[int, float]] = {}
        self._constant = 2.5
        self._min_ms = 0.0

    def apply(self, constant: float, min_ms: float) -> None:
        """Take over settings: the factor on the mean, and the shortest outlier."""
        self._constant = constant
        self._min_ms = min_ms
        for endpoint in list(self._known):
            self._set_limit(endpoint)

    def seed(self, means: Mapping[str, tuple[int, float]]) -> None:
        """Start from hits and mean in ms per endpoint, where the own requests are too few."""
        for endpoint, (hits, mean_ms) in means.items():
            if hits > self._known.get(endpoint, (0, 0.0))[0]:
                self._known[endpoint] = (hits, mean_ms)
                self._set_limit(endpoint)

    def learn(self, rows: Iterable[Row]) -> None:
        """Take new requests into account."""
        durations: defaultdict[str, list[float]] = defaultdict(list)
        for row in rows:
            durations[row.endpoint].append(row.duration_ms)
        for endpoint, new_ms in durations.items():
            hits, mean_ms = self._known.get(endpoint, (0, 0.0))
            hits += len(new_ms)
            mean_ms += (sum(new_ms) - len(new_ms) * mean_ms) / hits
            self._known[endpoint] = (hits, mean_ms)
            self._set_limit(endpoint)

    def _set_limit(self, endpoint: str) -> None:
        hits, mean_ms = self._known[endpoint]
        if hits >= MIN_HITS:
            self.limits_ns[endpoint] = int(max(mean_ms * self._constant, self._min_ms) * 1e6)
