"""
The simulated runtime behind ``fake_runtime.py``: standard library only, and imported from there without the package.

A test may call it hundreds of times, so it starts fast: plain classes and ``os``, no dataclasses, typing, pathlib or
shutil, which together double the time of a call.

Spec: runtime-spec 1.0.2, runtime.md "Lifecycle" and "Operations".
"""
