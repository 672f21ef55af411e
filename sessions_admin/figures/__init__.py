"""Figures: what the dashboard shows and `session_stats` prints."""
