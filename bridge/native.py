"""What the source says to mypyc alone, which compiles the hot modules (tools/compile.py).

Owns that it is nothing to the interpreter, and needs no library. Never compiled itself.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr as mypyc_attr
else:

    def mypyc_attr(**_attributes: Any) -> Any:
        """Of a class: see mypyc's manual, "Native classes"."""
        return lambda decorated: decorated
