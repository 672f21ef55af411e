"""The to-do list for programs that speak the Model Context Protocol: the assistant's tools, over HTTP (docs/mcp.md)."""
