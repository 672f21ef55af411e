"""Model endpoints: requests, retries, fallback and the validation of what they return."""
