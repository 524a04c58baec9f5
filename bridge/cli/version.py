"""What ``--version`` says: which release, and which build of it.

Owns the words. One small module tells for all: the build hook (tools/compile.py) compiles every one that pyproject.toml
lists, or none.
"""

from bridge import __version__
from bridge.protocol import numbers


def version() -> str:
    """E.g. ``janus-bridge 1.0.0 (compiled)``, or ``(source)``."""
    return f"janus-bridge {__version__} ({'source' if str(numbers.__file__).endswith('.py') else 'compiled'})"
