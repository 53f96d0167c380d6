"""Fetching and hashing the files of releases, from addresses that may be fetched from."""
