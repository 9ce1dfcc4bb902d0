"""The check that a test module is named after, ready to judge."""

from pathlib import Path

import pytest
from tests.checks.settings.examining import Examining


@pytest.fixture
def judged(request: pytest.FixtureRequest, tmp_path: Path) -> Examining:
    """Judges a text by the check of the test's own name."""
    return Examining(Path(request.path).stem.removeprefix("test_"), tmp_path)
