"""Single sessions: list them, look into one, and the verbs that staff have for it."""
