"""A person's conversations: verbs, lists, pages, versions and export."""
