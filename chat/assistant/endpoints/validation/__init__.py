"""The validation of what a model endpoint returns."""
