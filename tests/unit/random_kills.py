"""
Kills processes at random while they replace a file, and counts what is there afterwards, as JSON.

    python -I -S -B random_kills.py SOURCES FILE HOW COUNT SEED

HOW is "durable" or "quick", or "naive" for a control that writes into the file itself.
"""

import json
import os
import random
import signal
import sys
import time

sys.path.insert(0, sys.argv[1])
from ocihooks.replace import replace_file

file, how = sys.argv[2:4]


def content(version: int) -> bytes:
    """A version of the file, of one of five sizes."""
    return b"%06d\n" % version * (10_000 + version % 5 * 5_000)


def is_whole(data: bytes) -> bool:
    """Whether *data* is one of the versions."""
    return data[:6].isdigit() and data == content(int(data[:6]))


def write(version: int) -> None:
    """Write a version in the way that is tried."""
    if how == "naive":
        with open(file, "wb") as stream:
            stream.write(content(version))
    else:
        replace_file(file, content(version), durable=how == "durable")


def work(started: int) -> None:
    """Write one version after the other."""
    version = 0
    while True:
        version += 1
        write(version)
        os.write(started, b".")


def kill_one(dice: random.Random) -> None:
    """Kill a process that has written at least one version."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        work(writing)
    os.read(reading, 1)
    time.sleep(dice.uniform(0, 0.004))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reading)
    os.close(writing)


dice = random.Random(int(sys.argv[5]))
counts = {"whole": 0, "torn": 0}
for _ in range(int(sys.argv[4])):
    kill_one(dice)
    with open(file, "rb") as stream:
        found = stream.read()
    counts["whole" if is_whole(found) else "torn"] += 1
if how != "naive":
    replace_file(file, content(1))
print(json.dumps(counts | {"beside": len(os.listdir(os.path.dirname(file))) - 1}))
