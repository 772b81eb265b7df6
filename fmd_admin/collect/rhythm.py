"""When the watcher looks, and what a look stands for.

At level 3 looks are due at random moments: requests in lock-step with a fixed rhythm would always
show the same line.
"""

from __future__ import annotations

from random import Random
from time import thread_time_ns
from typing import NamedTuple

from .switching import MIN_LATE_NS

#: The thread rests at least so many times as long as it calculated for a look. Who is interrupted
#: pays half as much again to three times as much, as processor and interpreter change hands
#: (measured, by process): together that is 1.5 to 4 %.
REST = 100
#: The cost of a look is the mean of so many.
_LOOKS = 16
_new = tuple.__new__


class Look(NamedTuple):
    """One look and the moments it was due at, in ns as :func:`time.perf_counter_ns` gives them.

    A look is late where a thread goes on that we have to wait for. What is seen then was there at
    all the moments that have passed, and counts for each of them, but not for the time since:
    counted from look to look, whatever makes us late would take some from what follows it.
    """

    #: The last moment that has passed.
    due_ns: int
    #: Between the first of them and the last, ``step_ns`` apart.
    missed_ns: int
    step_ns: int
    #: The time from the last moment of the look before.
    weight_ns: int

    def weight_of(self, start_ns: int, end_ns: int | None = None) -> int | None:
        """Return what it counts for a request; None if it was due at no moment of it.

        One that had ended when the look came is counted too. It comes where the answer is sent, as
        that gives up the interpreter. If it was lost, that would always be one in a calculation:
        with 8 threads waits had 3 to 5 points too much.
        """
        # The moments are numbered from the last one back.
        first = self.missed_ns // self.step_ns
        oldest = min((self.due_ns - start_ns) // self.step_ns, first)
        newest = 0 if end_ns is None else max(-((end_ns - self.due_ns) // self.step_ns), 0)
        if oldest < newest:
            return None
        weight_ns = (oldest - newest + 1) * self.step_ns
        if oldest == first:
            weight_ns += self.weight_ns - self.missed_ns - self.step_ns
        return weight_ns


class Rhythm:
    """Used by the watcher's thread alone; requests read ``due_ns``, when the next look is due."""

    def __init__(self) -> None:
        # Of its own: the host may have seeded the one of all.
        self._chance = Random().random  # noqa: S311 - no secret
        self.reset()

    def reset(self) -> None:
        """Forget everything, as in a child after a fork."""
        self.due_ns = self._last_ns = 0
        self._looks = self._spent_ns = self._cost_ns = 0
        self._rest_ns = self._step_ns = 0

    def begin_anew(self, now_ns: int, period_ns: int) -> None:
        """Take up the rhythm at a random point, as if the thread had never slept."""
        self.due_ns = now_ns + int(period_ns * self._chance())
        self._last_ns = self.due_ns - period_ns

    def look(self, now_ns: int, period_ns: int) -> Look:
        """Return what the look that was made just now stands for; 0: there is no period."""
        self._looks += 1
        if self._looks >= _LOOKS:
            self._learn()
        mean_ns = max(period_ns, self._rest_ns, MIN_LATE_NS)
        self._step_ns = step_ns = int(mean_ns * (0.5 + self._chance()))
        missed_ns = max(now_ns - self.due_ns, 0) // step_ns * step_ns
        self.due_ns += missed_ns
        weight_ns, self._last_ns = self.due_ns - self._last_ns, self.due_ns
        return _new(Look, (self.due_ns, missed_ns, step_ns, weight_ns))

    def go_on(self, now_ns: int, in_ns: int, *, sampled: bool) -> None:
        """Have the next look in ``in_ns``, or once it is time for the next sample."""
        due_ns = now_ns + max(in_ns, self._rest_ns)
        self.due_ns = min(due_ns, self._last_ns + self._step_ns) if sampled else due_ns

    def wait_for_sample(self) -> None:
        """Have the next look once it is time for the next sample."""
        self.due_ns = self._last_ns + self._step_ns

    def _learn(self) -> None:
        """Learn how long to rest: where looks cost more, there are fewer of them, not more work.

        Many requests at once cost time, and so does waiting for who holds the interpreter and has
        no processor: we ask for it again and again. What one look has cost must not tell when the
        next one is: it would be later, and count for more, after a calculation than after a wait.
        """
        self._looks = 0
        spent_ns = thread_time_ns()
        before_ns, self._cost_ns = self._cost_ns, (spent_ns - self._spent_ns) // _LOOKS
        self._spent_ns = spent_ns
        # One look may be long by chance: Python collects garbage in whichever thread it is.
        self._rest_ns = min(before_ns, self._cost_ns) * REST
