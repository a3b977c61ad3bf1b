"""What a command loads before it can begin: told on a terminal while it lasts, and by ``--verbose`` with its seconds.

An import of torch takes seconds. Commands import it where they need it, in their functions and in this project's own
modules, so that what tells of it stands in the import system, before the others there.
"""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from mixlm.errors import InputError
from pipelines.shared.progress import AS_JSON, Bars, JsonProgress
from pipelines.shared.terminal import manner, notice


_LARGE = ("torch", "transformers", "datasets", "matplotlib", "peft", "accelerate")
_WORTH = 0.5  # seconds from which on it is told how long something took


@contextmanager
def loading(what: str) -> Iterator[None]:
    """Tell that something is loaded: on a terminal by a line that vanishes, else and with ``--quiet`` by nothing.

    Args:
        what: Its name.
    """
    began, title = time.monotonic(), f"loading {what}"
    if AS_JSON in os.environ:
        JsonProgress(title).advance(0, 1)
        yield
    elif _watched():
        with Bars.shown(passing=True) as bars:
            bars.begin(shown := f"{title} ..", shown)
            try:
                yield
            finally:
                bars.remove(shown)
    else:
        yield
    seconds = time.monotonic() - began
    if manner().verbose and seconds >= _WORTH:
        notice(f"{title}: {seconds:.1f} s")


@contextmanager
def imports_told() -> Iterator[None]:
    """Tell of the import of large libraries by ``loading``.

    Raises:
        InputError: If Python leaves out docstrings, without which none of transformers' models can be imported.
    """
    if sys.flags.optimize > 1:
        raise InputError("transformers needs docstrings, and Python leaves them out; unset PYTHONOPTIMIZE (-OO)")
    if not (_watched() or manner().verbose):
        yield
        return
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def look_first(run: str | None, *rows: str | None) -> None:
    """Find out whether things are there, before what takes seconds is loaded to open them.

    Args:
        run: Folder of a finished run; None: there is none.
        rows: Sources of rows; None is passed over.

    Raises:
        InputError: If one is not.
    """
    from mixlm.data.reading import require_readable
    from mixlm.run import require_finished

    if run is not None:
        require_finished(run)
    for source in filter(None, rows):
        require_readable(source)


def _watched() -> bool:
    """Tell whether a person, or a process that shows progress, sees what is loaded."""
    return AS_JSON in os.environ or (sys.stderr.isatty() and not manner().quiet)


class _Finder(MetaPathFinder):
    """Finds large libraries as Python does, and lets what executes them be told."""

    def __init__(self) -> None:
        self.busy = False

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how a module of a large library is loaded; of others, and of what those import, None."""
        if self.busy or name.partition(".")[0] not in _LARGE:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Told(spec.loader, self)
        return spec


class _Told(Loader):
    """Loads a module as another loader does, to which it leaves the module before anything in it runs."""

    def __init__(self, loader: Loader, finder: _Finder) -> None:
        self.loader, self.finder = loader, finder

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Make the module."""
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Execute it."""
        module.__loader__ = module.__spec__.loader = self.loader
        if self.finder.busy:
            self.loader.exec_module(module)
            return
        self.finder.busy = True
        try:
            with loading(module.__name__ if manner().verbose else module.__name__.partition(".")[0]):
                self.loader.exec_module(module)
        finally:
            self.finder.busy = False
