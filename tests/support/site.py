"""A bridge with a configuration file that a test writes anew, and SIGHUP."""

from pathlib import Path

import trio

from tests.support.bridge import Bridge, toml
from tests.support.deadlines import HANG_SECONDS

SECONDS = HANG_SECONDS


class Site:
    """``bridge`` reads ``file``; keys as "section.key", in keyword arguments "section__key"."""

    def __init__(self, folder: Path, **more: object) -> None:
        """A free port and a state directory in ``folder`` unless told otherwise."""
        self.folder = folder
        self.file = folder / "janus-bridge.toml"
        self.options: dict[str, object] = {"state.dir": str(folder / "state"), "mi.http": ["127.0.0.1:0"], **more}
        self.write()
        self.bridge = Bridge(folder, {}, arguments=["-c", str(self.file)])
        del self.bridge.options["state.dir"]

    def write(self, **changes: object) -> None:
        """The file anew, with these settings changed."""
        self.options |= {key.replace("__", "."): value for key, value in changes.items()}
        self.file.write_text("".join(f"{key} = {toml(value)}\n" for key, value in self.options.items()))
        self.file.chmod(0o600)

    async def reload(self, until: str, before: int | None = None) -> None:
        """SIGHUP, and wait for this in the log's new part, or behind ``before``: what does not wait for the signal."""
        before = len(self.bridge.log) if before is None else before
        self.bridge.reload()
        with trio.fail_after(SECONDS):
            while True:
                if until in self.bridge.log[before:]:
                    return
                await trio.sleep(0.005)
