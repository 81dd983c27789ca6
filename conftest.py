"""Tests leave the user's cache alone."""

import atexit
import os
import shutil
import tempfile

os.environ["FDSL_CACHE"] = tempfile.mkdtemp(prefix="fdsl-tests-")
if "PYTEST_XDIST_WORKER" not in os.environ:
    atexit.register(shutil.rmtree, os.environ["FDSL_CACHE"], ignore_errors=True)
