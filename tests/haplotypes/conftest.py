"""Tests of haplotypes import plain_haplotypes.py by its name, whatever pytest is started with."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
