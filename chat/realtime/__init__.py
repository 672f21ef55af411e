"""What open connections share."""
