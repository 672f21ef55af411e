"""A person's account: sign-in, login sessions, tokens and mail."""
