"""How a command ends where it does not end well; :mod:`diffeq.__main__` makes exit codes of them.

0    it did what was asked
1    it could not, or what it found does not hold: a value outside its domain, a file, numerics
2    what was typed cannot be read: :class:`Usage`
130  Ctrl-C
"""


class Usage(ValueError):
    """What was typed cannot be read: a flag, a verb or a model that is none, text for a number."""


class Doubtful(Exception):
    """A result to be printed, and why nobody should rely on it."""

    def __init__(self, report: str, reason: str) -> None:
        """``report`` goes to standard output, ``reason`` to standard error."""
        super().__init__(reason)
        self.report = report
