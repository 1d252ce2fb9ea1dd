"""Stream of the events of one training, which waits and is handled together.

Python code that runs once in a step of several milliseconds finds cold caches, and a call costs far more than in a loop. So the taps only
append events to a queue. They are handled where something depends on them: at each step of an optimizer while calls are recorded, and
otherwise when the next step comes near that the recorder must know from its beginning.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock, get_ident

from ganwatch.capture.events import Event

MAX_EVENTS = 256
"""Most events that wait."""
NO_THREAD = 0
"""Identifier of no thread."""


class EventStream:
    """Events of the thread that trains.

    Parameters
    ----------
    handle : callable
        Handles events in order until the queue it gets is empty; must not raise.
    fail : callable
        Takes an error of a tap.

    Attributes
    ----------
    emit : callable
        Takes an event. Taps call it from the thread ``thread`` only, and ``drain`` once ``MAX_EVENTS`` wait.
    thread : int
        Identifier of the thread that trains; ``NO_THREAD`` while ganwatch itself calls the networks.
    is_quiet : bool
        True while events wait over several steps.
    has_loss : bool
        True if a loss waits for its update.
    steps_left : int
        Updates of the generator after which waiting events are handled.
    queue : deque of Event

    Examples
    --------
    >>> from ganwatch.capture.events import NetworkCalled, PenaltyComputed
    >>> stream = EventStream(lambda queue: print(queue.popleft()), fail=print)
    >>> stream.emit(PenaltyComputed())
    PenaltyComputed()
    >>> stream.wait(steps=1)
    >>> stream.emit(NetworkCalled("g"))
    >>> stream.drain()
    NetworkCalled(role='g', is_differentiable=True, has_grad_leaf=False)
    """

    __slots__ = ("_handle", "_lock", "_training_thread", "emit", "fail", "has_loss", "is_quiet", "queue", "steps_left", "thread")

    def __init__(self, handle: Callable[[deque[Event]], None], fail: Callable[[Exception], None]) -> None:
        self._handle, self._lock, self.fail = handle, Lock(), fail
        self.thread = self._training_thread = get_ident()
        self.queue: deque[Event] = deque()
        self.emit: Callable[[Event], None] = self._emit_now
        self.is_quiet = self.has_loss = False
        self.steps_left = 0

    def wait(self, steps: int) -> None:
        """Let events wait until the generator was updated that many times; with 0, until the next step of an optimizer."""
        self.emit, self.is_quiet, self.steps_left, self.has_loss = self.queue.append, steps > 0, steps, False

    def stop_waiting(self) -> None:
        """Handle what waits, and from now on every event at once."""
        self.emit, self.is_quiet, self.steps_left = self._emit_now, False, 0
        self.drain()

    def stop_quiet(self) -> None:
        """Stop waiting if events wait over several steps."""
        if self.is_quiet:
            self.stop_waiting()

    def put(self, event: Event) -> None:
        """Take an event, and handle what waits if that has become too much."""
        self.emit(event)
        if len(self.queue) >= MAX_EVENTS:
            self.drain()

    def drain(self) -> None:
        """Handle the events that wait; in the training's own thread only, and not from within the handling of one."""
        if self.queue and get_ident() == self._training_thread:
            self.drain_from_any_thread()

    def drain_from_any_thread(self) -> None:
        """Handle the events that wait, at the end of a training that may have run in another thread."""
        if self._lock.acquire(blocking=False):
            try:
                while self.queue:
                    self._handle(self.queue)
            finally:
                self._lock.release()

    def _emit_now(self, event: Event) -> None:
        self.queue.append(event)
        self.drain()

    def is_current_thread(self) -> bool:
        """Return True in the thread that trains, unless ganwatch itself calls the networks."""
        return get_ident() == self.thread

    def follow(self, thread: int) -> None:
        """Take the events of another thread from now on."""
        self.thread = self._training_thread = thread

    @property
    def is_paused(self) -> bool:
        """True while ganwatch itself calls the networks; events of that are none of the training's."""
        return self.thread == NO_THREAD

    @is_paused.setter
    def is_paused(self, value: bool) -> None:
        self.thread = NO_THREAD if value else self._training_thread
