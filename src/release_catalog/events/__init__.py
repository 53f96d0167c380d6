"""What happens is told to webhooks."""
