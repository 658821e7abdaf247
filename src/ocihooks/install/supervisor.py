"""
The installed supervisor: a script that loads one image, like the wrapper's, and nothing else of the package.

It stays of the version that wrote the hooks of running containers until the next installation.
"""

from __future__ import annotations

from collections.abc import Sequence

from ocihooks.injection import SUPERVISOR

SCRIPT, IMAGE = SUPERVISOR, ".supervisor"
SUPERVISING = (SCRIPT, IMAGE)
"""Endings of its two files."""

EXTENSIONS = ("_ctypes", "_json", "select")
"""Modules in C, unless they are built in; loaded from their files without a search of directories."""

ASLEEP = (
    "ocihooks.quoting",
    "ocihooks.errors",
    "ocihooks.execution.keeper",
    "ocihooks.execution.words",
    "ocihooks.replace",
    "ocihooks.supervisor.failure",
    "ocihooks.wrapper",
    "ocihooks.wrapper.arguments",
    "ocihooks.wrapper.logline",
    "ocihooks.wrapper.readings",
    "ocihooks.wrapper.report",
)
"""What a hook that failed or is slow needs besides; of the same version, whatever the package has become meanwhile."""

AWAKE = (
    "ocihooks",
    "ocihooks.injection",
    "ocihooks.execution",
    "ocihooks.execution.exec",
    "ocihooks.execution.descendants",
    "ocihooks.execution.output",
    "ocihooks.execution.process",
    "ocihooks.execution.run",
    "ocihooks.execution.spawned",
    "ocihooks.records",
    "ocihooks.records.append",
    "ocihooks.supervisor",
    "ocihooks.supervisor.state",
    "ocihooks.supervisor.task",
    "ocihooks.supervisor.templates",
    "ocihooks.supervisor.main",
)
"""What a hook that succeeds needs, each module behind those that it imports."""

TEMPLATE = """\
#!{python} -IS
{mark}
import posix
import sys

WITHOUT_IMAGE = r'''
{without_image}'''
try:
    from marshal import loads

    fd = posix.open({image}, posix.O_RDONLY | posix.O_CLOEXEC)
    data = posix.read(fd, posix.fstat(fd).st_size)
    posix.close(fd)
    if data[:4] != sys.modules["_frozen_importlib_external"].MAGIC_NUMBER:
        raise ImportError
    body, modules = loads(memoryview(data)[4:])
except Exception:
    body = WITHOUT_IMAGE
exec(body)
"""

BODY = """\
import gc

gc.disable()  # There is little to collect in a few milliseconds.
asleep = {}


def find(name, path=None, target=None):
    form, spec = asleep.get(name), sys.modules["_frozen_importlib"].ModuleSpec
    if type(form) is str:
        return spec(name, sys.modules["_frozen_importlib_external"].ExtensionFileLoader(name, form), origin=form)
    return spec(name, finder, is_package=form[0] is not None) if form else None


def wake(module):
    package, code = asleep.pop(module.__name__)
    if package:
        module.__path__ = [package]
    exec(loads(code), module.__dict__)


finder = type(sys.implementation)(find_spec=find, create_module=lambda spec: None, exec_module=wake)
sys.meta_path.insert(0, finder)
try:
    for name, package, code in modules:
        if type(code) is str:
            asleep[name] = code
        elif type(code) is bytes:
            asleep[name] = package, code
        else:
            module = sys.modules[name] = type(sys)(name)
            module.__file__ = code.co_filename
            if package:
                module.__path__ = [package]
            module._modules_ = sys.modules
            exec(code, module.__dict__)
    main = sys.modules["ocihooks.supervisor.main"].main
except Exception:
    asleep.clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "ocihooks"]:
        del sys.modules[name]
    main = None
if main:
    main()
exec(WITHOUT_IMAGE)
"""
"""What the image begins with; nothing of the package is read once its modules are loaded."""

# The package, and at last a sentence; not compiled, since it is hardly ever needed.
WITHOUT_IMAGE = """\
sys.path += {paths}
try:
    from ocihooks.supervisor.main import main
except Exception as error:
    text = "ocihooks: hook not run: the supervisor can't be imported by {shown}: "
    posix.write(2, (text + str(error) + "\\nhint: run ocihooks install again\\n").encode())
    posix._exit(1)
main()
"""


def supervisor_script(python: str, paths: Sequence[str], image: str, mark: str) -> str:
    """
    The text of the script.

    Args:
        python: Absolute path of the interpreter.
        paths: Directories of the package and of what it depends on.
        image: Path of its image.
        mark: The line by which we know our own files.
    """
    without_image = WITHOUT_IMAGE.format(paths=ascii(list(paths)), shown=ascii(python)[1:-1])
    return TEMPLATE.format(python=python, mark=mark, image=ascii(image), without_image=without_image)
