"""What the dashboard shows and `session_stats` prints."""
