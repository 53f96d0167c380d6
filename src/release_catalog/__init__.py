"""A GraphQL API over MongoDB that keeps an organisation's software releases."""
