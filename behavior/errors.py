"""The one error that means "the user can mend this": commands print it without a traceback and exit with 2."""

from __future__ import annotations

__all__ = ["InputError"]


class InputError(Exception):
    """A mistake in what the user gave us.

    Args:
        what: What is wrong, with the value found and the value expected.
        where: File, row, column, option, or class it was found in.
        mend: What to do about it.
    """

    def __init__(self, what: str, *, where: str = "", mend: str = "") -> None:
        self.what, self.where, self.mend = what, where, mend
        super().__init__(what, where, mend)

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.mend:
            lines.append(f"  mend:  {self.mend}")
        return "\n".join(lines)
