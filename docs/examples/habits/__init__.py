"""An app of your own: habits, and a tool that notes one (see docs/how-to/add-a-django-app.md)."""
