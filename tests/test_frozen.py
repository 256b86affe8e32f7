"""What mrimpute does to the outside, against what it did before (see freeze.py, which stores it)."""

import json

from mrimpute.cli.app import app
from tests.freeze import STORED, changes, options_of, record

VOXELS = 1e-4
"""How far block means of images may lie from the stored ones, in thousands of grey values."""


def test_the_outside_is_what_it_was(cli, tmp_path):
    work = tmp_path / "work"
    found = record(cli, options_of(app), work, "small", exact=False)
    stored = json.loads(STORED.read_text().replace("{work}", str(work)))
    assert changes(stored, json.loads(json.dumps(found)), VOXELS) == []
