"""Fetching and verification of the files of releases, from permitted addresses only."""
