"""An app of your own: habits, and a tool that notes one (see docs/extra-apps.md)."""
