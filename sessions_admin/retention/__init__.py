"""Clean-ups: what has been silent for too long is removed, as a run that can be watched, stopped and read."""
