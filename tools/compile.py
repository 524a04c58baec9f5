"""The build hook that compiles the hot modules with mypyc: ``JANUS_BRIDGE_COMPILED=1 pip install .``

Owns how they are compiled; which ones is said in pyproject.toml. Without the variable a wheel has Python alone and fits
every machine. A compiled wheel has the source of those modules, too, for tracebacks. An editable install runs the
source, whatever the variable says: what is edited is what runs.
Authority: hatchling's manual, "Custom build hook"; mypyc's, "Using mypyc".
"""

import os
import shutil
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

VARIABLE = "JANUS_BRIDGE_COMPILED"
GROUP = "janus_bridge"  # of the one library that they all are in
COMPILER = "mypy[mypyc]>=1.13"


class CompileHook(BuildHookInterface[Any]):
    """Of the wheel alone."""

    def dependencies(self) -> list[str]:
        """What the build needs: the compiler, and the libraries whose types it reads."""
        return [COMPILER, *self.metadata.core.dependencies] if _wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and add what comes of it to the wheel. Raises SystemExit."""
        if not _wanted() or version == "editable":
            return
        need_compiler()
        folder = Path(tempfile.mkdtemp(prefix="janus-bridge-"))
        self._made = folder
        for made in compile_modules(Path(self.root), self.config["modules"], self.config["optimize"], folder):
            build_data["force_include"][str(made)] = str(made.relative_to(folder / "lib"))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if hasattr(self, "_made"):
            shutil.rmtree(self._made)


def _wanted() -> bool:
    return os.environ.get(VARIABLE, "0") not in ("", "0")


def need_compiler() -> None:
    """Raises SystemExit where there is none, or no headers."""
    header = Path(sysconfig.get_path("include"), "Python.h")
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    missing = [name for name, there in ((compiler, shutil.which(compiler)), (header, header.exists())) if not there]
    if missing:
        raise SystemExit(
            f"{VARIABLE} is set, and {' and '.join(map(str, missing))} cannot be found: install a C compiler and "
            "Python's headers (Debian: gcc python3-dev), or leave the variable out"
        )


def compile_modules(root: Path, modules: list[str], optimize: str, folder: Path) -> list[Path]:
    """Extension modules for those files, by their place below ``folder / "lib"``. Raises SystemExit for wrong types."""
    import mypyc  # it is there only where it is wanted
    from mypyc.build import mypycify
    from setuptools import Distribution  # type: ignore[import-untyped]

    lib = folder / "lib"
    before = os.getcwd()
    os.chdir(root)  # names of modules are paths from here
    try:
        options = ["--config-file=pyproject.toml", f"--cache-dir={folder}/cache", *modules]
        extensions = mypycify(
            options, opt_level=optimize, debug_level="0", target_dir=str(folder / "c"), group_name=GROUP
        )
        for extension in extensions:  # the same bytes wherever it is built: assertions name their file
            extension.extra_compile_args += [
                f"-ffile-prefix-map={place}=." for place in (folder, Path(mypyc.__file__).parent)
            ]
        distribution = Distribution({"name": "bridge", "ext_modules": extensions})
        command = distribution.get_command_obj("build_ext")
        command.build_lib, command.build_temp = str(lib), str(folder / "temp")
        command.ensure_finalized()
        command.run()
    finally:
        os.chdir(before)
    return sorted(lib.rglob("*.so"))
