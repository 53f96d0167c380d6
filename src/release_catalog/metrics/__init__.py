"""Metrics in Prometheus' formats: what the process counts, and how a scraper reads it."""
