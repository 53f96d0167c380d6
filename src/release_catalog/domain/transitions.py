"""The lifecycle of a release: DRAFT, PUBLISHED, then WITHDRAWN or ARCHIVED; WITHDRAWN may become ARCHIVED."""

from release_catalog.domain.release import ReleaseDocument
from release_catalog.errors import Violation

STEPS = {
    "PUBLISHED": frozenset({"DRAFT"}),
    "WITHDRAWN": frozenset({"PUBLISHED"}),
    "ARCHIVED": frozenset({"PUBLISHED", "WITHDRAWN"}),
}


def step(release: ReleaseDocument, to: str) -> list[Violation]:
    """Return the violations that prevent the step to `to`; a file with a MISMATCH prevents publication."""
    found = []
    if release["status"] not in STEPS[to]:
        before = " or ".join(sorted(STEPS[to]))
        message = f"The release is {release['status']}: only a release that is {before} can become {to}."
        found.append(Violation("input.id", message, "WRONG_STATUS"))
    if to == "PUBLISHED":
        found += [
            Violation(
                "input.id",
                f"{file['name']} has another digest or size than declared: replace the file, then verify it "
                "again.",
                "MISMATCH",
            )
            for file in release["artifacts"]
            if file["verification"]["status"] == "MISMATCH"
        ]
    return found
