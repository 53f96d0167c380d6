"""The lifecycle of a release: DRAFT, PUBLISHED, WITHDRAWN, ARCHIVED."""

from release_catalog.domain import release_parts
from release_catalog.domain.release import ReleaseDocument
from release_catalog.errors import Violation

# The statuses from which a release reaches each other status; ARCHIVED is the last.
STEPS_TO = {
    "PUBLISHED": frozenset({"DRAFT"}),
    "WITHDRAWN": frozenset({"PUBLISHED"}),
    "ARCHIVED": frozenset({"PUBLISHED", "WITHDRAWN"}),
}


def check_transition(release: ReleaseDocument, to: str) -> list[Violation]:
    """Return the violations that prevent the step to `to`; a file with a MISMATCH prevents publication."""
    found = []
    if release["status"] not in STEPS_TO[to]:
        before = " or ".join(sorted(STEPS_TO[to]))
        message = f"The release is {release['status']}: only a release that is {before} can become {to}."
        found.append(Violation("input.id", message, "WRONG_STATUS"))
    if to == "PUBLISHED":
        found += [
            Violation("input.id", release_parts.mismatch_message(file), "MISMATCH")
            for file in release["artifacts"]
            if file["verification"]["status"] == "MISMATCH"
        ]
    return found
