"""The packages of the distribution; everything else is in pyproject.toml.

`sweeps/` is a folder of the repository, and `cae.sweeps` in a wheel: one copy of each sweep file.
pyproject.toml cannot add a folder to the packages that setuptools finds.
"""

from setuptools import find_namespace_packages, setup

setup(
    packages=[*find_namespace_packages(include=["cae*"]), "cae.sweeps"],
    package_dir={"cae.sweeps": "sweeps"},
)
