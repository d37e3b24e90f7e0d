"""Libraries of which a part is loaded: many load all they have, and others that are installed.

Each use stands where a process that serves loads the library first; where another was first all
of it is loaded, and nothing else is different. tests/contract/test_loading.py says what must not be
loaded to serve.
"""

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def without(*packages: str) -> Iterator[None]:
    """What is imported in the block finds none of `packages`, as if they were not installed.

    One that is loaded already stays. When the block is over they can be imported as ever; what was
    loaded within it goes on without them. None in `sys.modules` is how Python's documentation says
    that there is no such module.
    """
    hidden = [name for name in packages if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def load_part(package: str, **names: tuple[str, ...]) -> None:
    """Loads of a package only these names of its submodules, not all that its `__init__` imports.

    Whoever asks it for another name gets that, too: then, and only then, `__init__` is run. A
    package that is loaded already stays as it is. Raises ModuleNotFoundError, AttributeError.
    """
    if package in sys.modules:
        return
    spec = importlib.util.find_spec(package)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(package)
    module, run_init = importlib.util.module_from_spec(spec), spec.loader.exec_module
    sys.modules[package] = module

    def load_rest(name: str) -> Any:
        # Python itself asks so, before it imports a submodule, and for names that few modules have
        if name.startswith("__") or importlib.util.find_spec(f"{package}.{name}"):
            raise AttributeError(name)
        vars(module).pop("__getattr__", None)
        run_init(module)
        return getattr(module, name)

    vars(module)["__getattr__"] = load_rest
    for submodule, wanted in names.items():
        loaded = importlib.import_module(f"{package}.{submodule}")
        vars(module).update({name: getattr(loaded, name) for name in wanted})
