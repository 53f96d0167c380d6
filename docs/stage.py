"""Copy the pages of the site, and the files that they link to, to the folder from which the site is built.

A page keeps its place in the repository, so that its links work beside the code, too. The build checks the links
between pages; this program fails for a link to a file that does not exist, and for a page outside the navigation.
"""

import re
import shutil
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\]\(([^()\s#]+)[^()\s]*\)")
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.DOTALL | re.MULTILINE)


def pages(entry: object) -> list[str]:
    """Return the pages of an entry of the navigation: a path, or titles of paths and sections."""
    if isinstance(entry, str):
        return [entry]
    entries = entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else ()
    return [page for part in entries for page in pages(part)]


def links(page: Path) -> list[Path]:
    """Return the files of the repository that a page links to."""
    targets = LINK.findall(CODE.sub("", page.read_text()))
    return [(page.parent / target).resolve() for target in targets if not re.match(r"[a-z]+:", target)]


def main() -> None:
    """Copy them, or name all problems."""
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    target = ROOT / settings["docs_dir"]
    shutil.rmtree(target, ignore_errors=True)
    listed = {ROOT / page for page in pages(settings["nav"])}
    problems = [
        f"{page.relative_to(ROOT)} is missing in the navigation of mkdocs.yml: add it."
        for page in sorted({*(ROOT / "docs").glob("**/*.md")} - listed)
    ]
    waiting, copied = sorted(listed), set()
    while waiting:
        file = waiting.pop()
        if file in copied:
            continue
        copied.add(file)
        if not file.is_file() or not file.is_relative_to(ROOT):
            problems.append(f"{file} does not exist: correct the link or the navigation.")
            continue
        copy = target / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
        if file.suffix == ".md":
            waiting += links(file)
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
