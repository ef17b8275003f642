"""What the jobs of the tests do; runs in their processes."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time


def count(n: int):
    yield from range(n)


def whereabouts():
    yield {
        "pid": os.getpid(),
        "group": os.getpgrp(),
        "session": os.getsid(0),
        "modules": sorted(sys.modules),
        "main": getattr(sys.modules["__main__"], "__file__", None),
    }


def noise(n: int):
    print("garbage on stdout", flush=True)
    os.write(1, b"cgm\0\0\0\0\0\0\0\0")
    for _ in range(n // 100):
        sys.stderr.write("x" * 99 + "\n")
    subprocess.run(["echo", "a child of mine prints"], check=True)
    sys.stderr.write("the last line\n")
    yield sys.stdin.read()


def big(n: int):
    yield {"text": "x" * n}


def echo(**given):
    yield given


def strange_numbers():
    yield [float("nan"), float("inf"), -float("inf"), 0.1]


def no_json():
    yield 1
    yield {"a": object()}


def endless_message():
    message: list = []
    message.append(message)
    yield message


def lone_surrogate():
    yield "\ud800"


class CannotPickle(Exception):
    def __init__(self, text):
        super().__init__(text)
        self.function = lambda: None

    def __str__(self):
        return "its own words"


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no words")


class OutOfMemoryError(RuntimeError):
    pass


def raises(what: str):
    yield "before"
    raise {
        "value": ValueError("a\nb"),
        "pickle": CannotPickle("x"),
        "mute": Mute(),
        "device": OutOfMemoryError("the device is full"),
        "torch": RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
        "tls": ImportError("libgomp.so.1: cannot allocate memory in static TLS block"),
        "exit": SystemExit(7),
        "interrupt": KeyboardInterrupt(),
    }[what]


def wrapped():
    yield 0
    try:
        raise MemoryError
    except MemoryError as error:
        raise ValueError("the case could not be built") from error


def recursion():
    yield 0

    def deeper(n):
        return deeper(n + 1)

    deeper(0)


def segfault():
    yield "before"
    ctypes.string_at(0)


def leave(code: int):
    yield "before"
    os._exit(code)


def kill_self(number: int):
    yield os.getpid()
    os.kill(os.getpid(), number)
    time.sleep(60)


def aborts(words: str):
    yield 0
    os.write(2, words.encode())
    os.kill(os.getpid(), signal.SIGABRT)


def hang():
    yield os.getpid()
    time.sleep(600)


def hang_in_c():
    yield os.getpid()
    ctypes.PyDLL(None).sleep(600)  # keeps the interpreter lock: no other thread runs


def hang_with_a_child():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield child.pid
    time.sleep(600)


def leaves_a_child():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield child.pid


def leaves_a_fork():
    pid = os.fork()
    if pid == 0:
        os.setsid()
        time.sleep(600)
        os._exit(0)
    yield pid


def closes_its_channel():
    yield 0
    os.closerange(3, 64)
    time.sleep(600)


def fill(size: int):
    yield "before"
    held = bytearray(size)
    yield len(held)


def fill_tensor(size: int):
    import torch

    yield "before"
    yield torch.zeros(size, dtype=torch.uint8).numel()


def matmul():
    import torch

    torch.set_num_threads(2)
    a = torch.ones(512, 512)
    yield float((a @ a)[0, 0])


def no_generator():
    return 3


not_callable = 3


def tidies_up(path):
    """Wait; write a file when asked to end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        yield "ready"
        time.sleep(60)
    finally:
        with open(path, "w") as file:
            file.write("tidy")


def does_not_listen():
    """Wait, whatever is asked."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    yield "ready"
    time.sleep(60)
