"""Which form of the codec's inner loops is used: the compiled extension where it was built, else pure Python.

Both do exactly the same; `QIANZHI_PURE=1` in the environment leaves the extension aside.  `FORM` says which
it is: "compiled" or "pure".
"""

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

from qianzhi.wire import iso_plan, mac_plan
from qianzhi.wire.items import Item

PURE = "QIANZHI_PURE"


def _extension() -> ModuleType | None:
    """Return the extension, None where it was not built or is not wanted."""
    if os.environ.get(PURE, "") not in ("", "0"):
        return None
    try:
        return import_module("qianzhi.wire._kernel")
    except ImportError:
        return None


_compiled = _extension()
FORM = "pure" if _compiled is None else "compiled"


def compiled_cipher() -> Callable[..., Any] | None:
    """Return what makes single DES of three functions of libcrypto and a key, None in pure Python."""
    return None if _compiled is None else getattr(_compiled, "LibcryptoCipher", None)


make_reader: Callable[[Sequence[Item]], iso_plan.Read] = (
    iso_plan.make_reader if _compiled is None else _compiled.Reader
)
make_writer: Callable[[Sequence[Item]], iso_plan.Write] = (
    iso_plan.make_writer if _compiled is None else _compiled.Writer
)
make_gatherer: Callable[[Sequence[mac_plan.Covered], mac_plan.Joining], mac_plan.Gather] = (
    mac_plan.make_gatherer if _compiled is None else _compiled.Gatherer
)
