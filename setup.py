"""The optional extension; everything else about the package is in setup.cfg."""

from setuptools import Extension, setup

setup(ext_modules=[Extension("qianzhi.wire._kernel", ["qianzhi/wire/_kernel.pyx"], optional=True)])
