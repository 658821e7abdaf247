"""
Replaces one file by one of 8 KiB, and marks where that begins and ends for a tracer; run in a process of its own.

    python -I -S -B replace_once.py SOURCES FILE HOW

HOW is "durable" or "quick", or "naive" for a control that writes into the file itself.
"""

import os
import sys

sys.path.insert(0, sys.argv[1])
from ocihooks.errors import ReplaceError
from ocihooks.replace import replace_file

NEW = b"new" * 2730 + b".."

file, how = sys.argv[2:]
os.access("begin", os.F_OK)
try:
    if how == "naive":
        with open(file, "wb") as stream:
            stream.write(NEW)
    else:
        replace_file(file, NEW, durable=how == "durable")
except ReplaceError as error:
    os.access("end", os.F_OK)
    print(error, error.hint, sep="\n")
    sys.exit(1)
os.access("end", os.F_OK)
