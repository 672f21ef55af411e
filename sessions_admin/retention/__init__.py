"""Clean-ups: inactive sessions and conversations are removed, in runs that can be watched, stopped and read."""
