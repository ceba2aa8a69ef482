"""What happens while C is at work: progress, exceptions that must not run through C, signals, one thread at a time.

C keeps a function pointer and a number. The functions are made once and live for ever; the number finds the call that is
running, so that no callback object can be freed too early and none keeps a layer alive.
"""
from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, Callable, Dict, List, Optional, Set, Tuple, Type, Union

from . import _native as native
from ._errors import StateError


@dataclass(frozen=True)
class Progress:
    """How far a call is: `fraction` 0..1 never falls, `objective` sums J over the channels that are finished."""

    fraction: float
    objective: float
    done: int
    total: int
    stage: str


ProgressCallable = Callable[[Progress], Any]
LogCallable = Callable[[str, str], Any]
# True shows a bar; a callable is asked, and stops the call by returning something true or by raising.
ProgressArgument = Union[None, bool, ProgressCallable]

_keys = itertools.count(1)
_working: Dict[int, Work] = {}
# Handlers of these may raise: KeyboardInterrupt, or what a time limit raises.
_RAISING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGALRM") if hasattr(signal, name))


def new_key() -> int:
    """A number for a handle's callbacks, never used again."""
    return next(_keys)


class Work:
    """One call, or several in a row, on one handle. As a context it guards the handle's lock and the signals.

    Python runs signal handlers when a callback enters the interpreter, where an exception would be printed and lost. While
    C works in the main thread they therefore are called by a handler that keeps the exception; the callback then stops C,
    and the exception goes on from the call.
    """

    def __init__(self, lock: threading.Lock, key: int, progress: Optional[ProgressCallable],
                 log: Optional[LogCallable]) -> None:
        self.lock = lock
        self.key = key
        self.progress = progress
        self.log = log
        self.thread = threading.get_ident()
        self.exception: Optional[BaseException] = None
        self.handlers: List[Tuple[int, Any]] = []

    def guard_signals(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _RAISING:
            before = signal.getsignal(number)
            if callable(before):
                signal.signal(number, self._handle(before))
                self.handlers.append((number, before))

    def _handle(self, before: Callable[..., Any]) -> Callable[[int, Optional[FrameType]], None]:
        def handle(number: int, frame: Optional[FrameType]) -> None:
            try:
                before(number, frame)
            except BaseException as exception:
                self.keep(exception)

        return handle

    def keep(self, exception: BaseException) -> None:
        """Keeps the first exception; those behind it come from a call that is stopping already."""
        if self.exception is None:
            self.exception = exception

    def __enter__(self) -> Work:
        if not self.lock.acquire(blocking=False):
            raise StateError("the layer is at work: in another thread, or below this callback")
        with _forks.changed:
            _working[self.key] = self
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], value: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        with _forks.changed:
            del _working[self.key]
            _forks.changed.notify_all()
        self.lock.release()
        try:
            for number, before in self.handlers:
                signal.signal(number, before)
        finally:
            exception, self.exception = self.exception, None
            if exception is not None:
                raise exception


class _Forks:
    """Lets a fork wait until no other thread is inside of C's arithmetic.

    OpenBLAS joins its own threads before a fork, and hangs for ever when another thread is in the middle of a product. So
    a fork waits until every thread that is at work has come to its next callback, where it is parked until the fork is
    over, or has ended its call.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.waiting = 0
        self.parked: Set[int] = set()
        self.held = False

    def before(self) -> None:
        mine = threading.get_ident()
        self.changed.acquire()
        self.waiting += 1
        self.parked.add(mine)  # for other threads that fork: this one is in a callback, or not at work
        self.changed.notify_all()
        try:
            while {work.thread for work in _working.values()} - self.parked:
                self.changed.wait()
            self.held = True  # the lock stays with this thread until the fork is over
        except BaseException:
            self._end()
            raise

    def _end(self) -> None:
        self.waiting -= 1
        self.parked.discard(threading.get_ident())
        self.changed.notify_all()
        self.changed.release()

    def after_in_parent(self) -> None:
        if self.held:
            self.held = False
            self._end()

    def after_in_child(self) -> None:
        """Only the thread that forked lives on; layers that were at work in others stay locked."""
        mine = threading.get_ident()
        for key in [key for key, work in _working.items() if work.thread != mine]:
            del _working[key]
        self.__init__()  # type: ignore[misc]

    def park(self) -> None:
        """Called by a callback: waits as long as a fork does."""
        mine = threading.get_ident()
        with self.changed:
            self.parked.add(mine)
            self.changed.notify_all()
            while self.waiting:
                self.changed.wait()
            self.parked.discard(mine)


_forks = _Forks()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=lambda: _forks.before(), after_in_parent=lambda: _forks.after_in_parent(),
                        after_in_child=lambda: _forks.after_in_child())


def _on_progress(progress: Any, key: int) -> int:
    work = _working.get(key)
    if work is None:
        return 0
    try:
        if _forks.waiting:
            _forks.park()
        if work.exception is not None:
            return 1
        if work.progress is None:
            return 0
        now = progress.contents
        stop = work.progress(Progress(now.fraction, now.objective, now.done, now.total,
                                      native.name_of(native.STAGES, now.stage)))
        return 1 if stop or work.exception is not None else 0
    except BaseException as exception:
        work.keep(exception)
        return 1


def _on_log(level: int, text: bytes, key: int) -> None:
    work = _working.get(key)
    try:
        if work is not None and work.log is not None:
            work.log(native.name_of(native.LOG_LEVELS, level), text.decode(errors="replace"))
    except BaseException as exception:
        if work is not None:
            work.keep(exception)


PROGRESS = native.ProgressFn(_on_progress)
LOG = native.LogFn(_on_log)


class Bar:
    """A bar on the terminal: tqdm's where it is installed, else a line of percents."""

    def __init__(self, title: str, total: int = 1000, unit: str = "") -> None:
        self.title, self.total, self.at = title, total, 0
        self.bar: Any = None
        try:
            import tqdm
        except ImportError:
            return
        layout = None if unit else "{desc}: {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]"
        self.bar = tqdm.tqdm(total=total, desc=title, unit=unit or "it", leave=bool(unit), bar_format=layout)

    def to(self, at: int) -> None:
        if at > self.at:
            if self.bar is not None:
                self.bar.update(at - self.at)
            else:
                sys.stderr.write("\r%s: %3d %%" % (self.title, 100 * at // max(self.total, 1)))
            self.at = at

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
        elif self.at:
            sys.stderr.write("\n")

    def __call__(self, progress: Progress) -> None:
        self.to(int(progress.fraction * self.total))
