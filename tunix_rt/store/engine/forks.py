"""Forks, as data loaders and worker pools make them: what is open closes before, and begins anew in the child."""

import os
import threading
from typing import Protocol
from weakref import WeakSet


class Forked(Protocol):
    """What a fork must not go through as it is."""

    def stop(self) -> None:
        """Closes what a child must not share, and keeps all threads out of it."""
        ...

    def resume(self) -> None:
        """In the parent, after the fork: lets the threads in again."""
        ...

    def begin_anew(self) -> None:
        """In the child: without the parent's threads and locks."""
        ...


_members: WeakSet[Forked] = WeakSet()
_stopped: list[Forked] = []
# Held over a fork, so that there are no new members meanwhile.
_lock = threading.Lock()


def around_forks(member: Forked) -> None:
    """From now on the member is stopped before each fork of this process, for as long as it exists."""
    with _lock:
        _members.add(member)


def _before() -> None:
    _lock.acquire()
    for member in list(_members):
        member.stop()
        _stopped.append(member)


def _after_in_parent() -> None:
    while _stopped:
        _stopped.pop().resume()
    _lock.release()


def _after_in_child() -> None:
    while _stopped:
        _stopped.pop().begin_anew()
    _lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
