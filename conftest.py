"""Tests share the cores: a test, and what it starts, computes on one."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is first imported
