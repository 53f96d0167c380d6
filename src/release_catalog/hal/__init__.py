"""The same releases as HAL documents, behind the links (S5), and promotion records in their own form (S3)."""
