"""Functions that the tests run in worker processes; these import this file, so it imports nothing large."""

import os
import signal
import time

import tunix_rt as rt


def halved(number):
    """Later numbers are done sooner."""
    time.sleep(max(0, 5 - number) / 50)
    return number / 2


def talkative(text):
    print(text)  # noqa: T201
    os.write(1, b"\x00\xff not a message of the protocol")
    assert not os.read(0, 10)
    return text


def pid_of(_):
    return os.getpid()


def killed_at_13(number):
    if number == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def hangs_at_13(number):
    if number == 13:
        # One operation of many minutes, in which no other thread of the process runs.
        10 ** (10**9)
    return number


def sleeps(seconds):
    time.sleep(seconds)


class KeywordError(Exception):
    """One that pickle cannot make again."""

    def __init__(self, *, why):
        super().__init__(why)


def fails(how):
    raise {
        "plain": ValueError("not this one"),
        "ours": rt.SourceInvalid("file.jsonl: is empty", fields=["a"]),
        "keyword": KeywordError(why="as it is"),
        "exit": SystemExit(3),
    }[how]


def items_in_trouble(items, start, singly):
    """An item is an action; its result is its index, in lists of two where that is allowed."""
    done = []
    for index, item in enumerate(items[start:], start):
        if item == "hangs":
            10 ** (10**9)
        elif item == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        elif item.startswith("dies once: ") and not os.path.exists(item[11:]):  # noqa: PTH110 - a light start
            os.close(os.open(item[11:], os.O_CREAT))
            os._exit(3)
        elif item == "forks" and os.fork() == 0:
            time.sleep(0.1)
        elif item == "leaves a child" and os.fork() == 0:
            # As long as it lives it could keep open what its parent has open.
            time.sleep(1_000)
        elif item == "fails":
            raise ValueError("this is for the caller")
        done.append(index)
        if singly or len(done) > 1:
            yield done
            done = []
    yield done
