"""cae-sweep: hyperparameter sweeps of PyTorch convolutional autoencoders on Ray Tune.

The names of a sweep file are listed in __init__.pyi. Each is imported when it is first used: torch
and ray take seconds to import, and `cae-sweep --help` needs neither.
"""

from typing import Any

import lazy_loader

from cae.version import __version__ as __version__

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name in __all__ or name.startswith("__"):
        return _load(name)
    import difflib

    nearest = difflib.get_close_matches(name, __all__, n=1)
    hint = ""
    if nearest:
        hint = f"; did you mean {nearest[0]!r}?"
    raise AttributeError(f"module 'cae' has no {name!r}{hint}")
