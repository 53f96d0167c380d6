"""The steps of the Dockerfile: those that a builder would take, in their order."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
FILE = ROOT / "Dockerfile"


class Step(NamedTuple):
    """An instruction, such as RUN, with its text, and the name of the stage that it belongs to."""

    stage: str
    instruction: str
    text: str


def steps() -> list[Step]:
    """Return all steps; the last stage has the name "image" unless it has one of its own."""
    lines = [line for line in FILE.read_text().splitlines() if not line.startswith("#")]
    found: list[Step] = []
    stage = ""
    for line in filter(None, "\n".join(lines).replace("\\\n", " ").splitlines()):
        instruction, text = line.split(maxsplit=1)
        if instruction == "FROM":
            named = re.fullmatch(r"\S+ AS (\S+)", text)
            stage = named[1] if named else "image"
        found.append(Step(stage, instruction, re.sub(r" +", " ", text)))
    return found
