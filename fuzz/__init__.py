"""
Feeds our readers with bytes that a fuzzer makes up, guided by which code they reach.

``make fuzz`` tries all targets for a minute each, ``make fuzz SECONDS=600 TARGETS="config rule"`` some for longer.
A target gives bytes to one reader and fails if the reader breaks a law (`fuzz.targets`); readers in Python are run by
Atheris, the launcher by LibFuzzer (`fuzz.runs`). What reaches a branch is kept in tests/data/fuzz and tried again by
each run of the tests (`fuzz.corpora`).
"""
