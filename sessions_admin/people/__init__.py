"""Users: close an account, export and erase all their data."""
