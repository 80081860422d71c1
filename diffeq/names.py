"""What a class or function is called by those who use it, whichever file holds it."""

import sys
from typing import Any


def public(of: Any) -> str:
    """The module that offers ``of`` and its name: ``"holden.Params"``; without ``diffeq.``.

    The outermost package that has it, by its own name, is what users type.

    >>> from diffeq import glosten_milgrom, holden
    >>> public(holden.Params), public(glosten_milgrom.elastic.Params), public(tuple)
    ('holden.Params', 'glosten_milgrom.elastic.Params', 'tuple')
    """
    parts = of.__module__.split(".")
    packages = (".".join(parts[:n]) for n in range(1, len(parts) + 1))
    name = of.__qualname__
    module = next((p for p in packages if getattr(sys.modules.get(p), name, None) is of), None)
    module = (module or of.__module__).removeprefix("diffeq.")
    return name if module == "builtins" else f"{module}.{name}"
