"""Single sessions: lists, inspection, and the verbs of staff."""
