"""The metrics on the dashboard and in `session_stats`."""
