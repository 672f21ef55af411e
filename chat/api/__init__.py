"""The HTTP API: routers parse, call one function, present. `config.api` puts them together."""
