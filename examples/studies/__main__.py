"""Runs studies: python examples/studies table1 --scale smoke."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])  # the folder of the scripts that studies import
    from studies.study import main

    sys.exit(main())
