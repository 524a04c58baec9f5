"""The environment of a child process that is given little on purpose.

Owns what has to stay in it nevertheless: without coverage's own variables a measured run does not see that process.
"""

import os
from pathlib import Path


def bare(home: Path) -> dict[str, str]:
    """Of a user with nothing but a home. Its state is there by name, too: no service of this machine is looked for."""
    measured = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    state = str(home / ".local" / "state" / "janus-bridge")
    return {"HOME": str(home), "STATE_DIRECTORY": state, "PATH": os.environ["PATH"], "LANG": "C.UTF-8", **measured}


def unmeasured(environ: dict[str, str]) -> dict[str, str]:
    """For somebody who may not write the measurements."""
    return {name: value for name, value in environ.items() if not name.startswith("COVERAGE_")}
