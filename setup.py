"""The two lists that setup.cfg cannot express; everything else is there."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    # The wheel carries gin/ as data of tfplastic, in tfplastic/gin/, without a copy in the tree.
    packages=[*find_packages(include=["tfplastic", "tfplastic.*"]), "tfplastic.gin"],
    package_dir={"tfplastic.gin": "gin"},
    scripts=sorted(str(path) for path in Path("bin").iterdir() if path.is_file()),
)
