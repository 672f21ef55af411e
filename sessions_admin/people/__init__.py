"""People: close an account, export and erase all that there is about somebody."""
