"""Tests leave the user's cache alone."""

import os
import tempfile

os.environ["FDSL_CACHE"] = tempfile.mkdtemp(prefix="fdsl-tests-")
