"""The lease: until when a process may believe that it heard of every change (rules Z4, Z5, Z8).

A connection that lost messages looks like one on which nothing happens. So the feed sends a
heartbeat down the connection that the messages come on: what was sent before the answer has arrived
before it. The lease runs from the heartbeat *before* the answered one, because a store with several
I/O threads may answer before it sends a message that came first.

A connection may also be alive and yet carry no messages, when a proxy or a client library drops
them. So every few seconds the feed changes a *canary* key of its own and waits for the message.

Nothing here reads a clock: each step is told the time, in monotonic seconds.
"""

from __future__ import annotations

NEVER = float("-inf")

NO_HEARTBEAT = "no_heartbeat"
NO_CANARY = "no_canary"


class Lease:
    """What heartbeats and canaries have proven so far; one thread takes its steps.

    Args:
        seconds: How long a proof counts.
        beat: Seconds between two heartbeats, of which one is on its way at a time.
        canary: Seconds between two canaries.

    Attributes:
        until: The feed may be trusted up to this time.
        known_until: Every change that was acknowledged before this time has been heard of.
        trusted_seconds: How long the feed was trusted all in all.

    Raises:
        ValueError: *seconds* is so short that the lease would end between two heartbeats.
    """

    def __init__(self, *, seconds: float = 0.25, beat: float = 0.05, canary: float = 1.0) -> None:
        if seconds <= 2 * beat:
            raise ValueError(f"a lease of {seconds} s is too short for a heartbeat each {beat} s")
        self.seconds = seconds
        self.beat = beat
        self.canary = canary
        self.after_fork()

    def begin(self) -> None:
        """Nothing is proven: a connection was lost, or a new one is ready."""
        self.until = self.known_until = NEVER
        self._counted = NEVER
        self._previous = self._last = NEVER
        self._awaits_answer = False
        self._canary = NEVER
        self._awaits_canary = False
        self._is_proven = False

    def beat_due(self, now: float) -> bool:
        """Whether it is time to send a heartbeat."""
        return not self._awaits_answer and now - self._last >= self.beat

    def pause(self, now: float) -> float:
        """Seconds that may be spent on waiting for messages before there is something to do."""
        return self.beat if self._awaits_answer else max(0.0, self._last + self.beat - now)

    def beat_sent(self, now: float) -> None:
        """A heartbeat is being sent; *now* was read before."""
        self._previous, self._last = self._last, now
        self._awaits_answer = True

    def beat_answered(self, now: float) -> None:
        """The heartbeat came back: all changes from before the *previous* one are known (Z5)."""
        self._awaits_answer = False
        self.known_until = self._previous
        self._extend(now)

    def canary_due(self, now: float) -> bool:
        """Whether it is time to change the canary key."""
        return not self._awaits_canary and now - self._canary >= self.canary

    def canary_sent(self, now: float) -> None:
        """The canary key is being changed; *now* was read before."""
        self._canary = now
        self._awaits_canary = True

    def canary_seen(self, now: float) -> None:
        """The change of the canary key arrived as a message."""
        if self._awaits_canary:
            self._awaits_canary = False
            self._is_proven = True
            self._extend(now)

    def fault(self, now: float) -> str | None:
        """Why nothing may be trusted any longer; None while all is well.

        Args:
            now: A time after which everything that had arrived was taken in.
        """
        if self._awaits_answer and now - self._last > self.seconds:
            return NO_HEARTBEAT
        # By heartbeats and not by the clock: a process that was stopped has not missed anything.
        if self._awaits_canary and self.known_until - self._canary > self.seconds:
            return NO_CANARY
        return None

    def after_fork(self) -> None:
        """A child process has proven nothing yet."""
        self.trusted_seconds = 0.0
        self.begin()

    def _extend(self, now: float) -> None:
        if not self._is_proven:
            return
        if self.until >= now:
            self.trusted_seconds += now - self._counted
        self._counted = now
        self.until = self.known_until + self.seconds
