"""Ids: unique within a process, and between a process and those that are forked from it."""

import os

from release_catalog.domain import ids


def forked() -> str:
    """Return an id that a forked process makes."""
    reading, writing = os.pipe()
    if child := os.fork():
        os.close(writing)
        with os.fdopen(reading) as pipe:
            made = pipe.read()
        os.waitpid(child, 0)
        return made
    os.write(writing, ids.new().encode())
    os._exit(0)


def test_ids_are_unique_and_have_the_form_of_an_object_id() -> None:
    made = [ids.new() for _ in range(10_000)]
    assert len(set(made)) == len(made)
    assert all(len(id_) == 24 and int(id_, 16) >= 0 for id_ in made)


def test_forked_processes_make_other_ids() -> None:
    processes = [id_[8:18] for id_ in (ids.new(), forked(), forked())]
    assert len(set(processes)) == 3
