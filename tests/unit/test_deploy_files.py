"""Each file in deploy/ is read by a test, which lets a real program say whether it is right."""

import re
from pathlib import Path

from release_catalog.settings import variables

ROOT = Path(__file__).parents[2]


FILES = [
    file.relative_to(ROOT)
    for file in (ROOT / "deploy").rglob("*")
    if file.is_file() and "__pycache__" not in file.parts
]


def test_each_setting_exists() -> None:
    """The server only warns of an unknown one, which may be misspelt."""
    for file in [*FILES, Path("Dockerfile"), Path("docker-compose.yml"), Path("docs/deployment.md")]:
        named = set(re.findall(r"RELEASE_CATALOG_[A-Z_]+", (ROOT / file).read_text()))
        assert named <= set(variables()), file


def test_each_file_has_a_test() -> None:
    tests = "".join(
        file.read_text()
        for folder in ("unit", "e2e", "integration", "support")
        for file in (ROOT / "tests" / folder).glob("*.py")
    )
    # A test names its file, the file beside another one, or a folder of which it reads all.
    untested = [
        str(file)
        for file in FILES
        if not any(
            name in tests for name in (f'"{file}"', f'with_name("{file.name}")', f'"deploy/{file.parent.name}"')
        )
    ]
    assert untested == [], "write a test that lets a real program read it"
