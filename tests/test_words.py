"""What is written about the code stands on its own."""

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

ABSENT = re.compile(r"\b(SPEC|DESIGN|HOUSE|STYLE|BASELINES)\b|\b(GOLDENS|SPEC)\.md|\bresearch/")
"""Names of documents that are not in the repository."""
WRITTEN = sorted(
    path
    for pattern in ("*.md", "*.toml", "mrimpute/**/*.py", "mrimpute/**/*.md", "tests/**/*.py", "examples/**/*.*")
    for path in ROOT.glob(pattern)
    if path.suffix in (".py", ".md", ".toml", ".sh") and path != Path(__file__)
)


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_sentence_cites_a_document_that_is_not_here(path):
    if path.name == "test_readme.py":
        pytest.skip("holds such names to look for them")
    assert not ABSENT.search(path.read_text())
