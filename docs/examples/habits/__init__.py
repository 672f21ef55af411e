"""Example app: habits, and a tool that stores one (see docs/how-to/add-a-django-app.md)."""
