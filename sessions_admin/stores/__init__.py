"""The two stores: compare and repair them, check the session file, back both up and restore them."""
