"""A list and a step of the build that setup.cfg cannot express; everything else is there."""

import json
import runpy
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


class BuildWithCommit(build_py):
    """Writes into the wheel which commit it is built from, where that is known."""

    def run(self):
        super().run()
        source = runpy.run_path(str(ROOT / "tfplastic" / "_source.py"))
        if (ROOT / ".git").exists() and not self.editable_mode:
            path = Path(self.build_lib, "tfplastic", source["BUILT_FROM"])
            path.write_text(json.dumps(source["of_clone"](ROOT)._asdict()) + "\n", encoding="utf-8")


setup(
    # The wheel carries gin/ as data of tfplastic, in tfplastic/gin/, without a copy in the tree.
    packages=[*find_packages(include=["tfplastic", "tfplastic.*"]), "tfplastic.gin"],
    package_dir={"tfplastic.gin": "gin"},
    cmdclass={"build_py": BuildWithCommit},
)
