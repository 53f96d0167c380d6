"""Releases as HAL documents, behind the links (S5), and promotion records in their own format (S3)."""
