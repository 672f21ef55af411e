"""User accounts: sign-in, login sessions, tokens and mail."""
