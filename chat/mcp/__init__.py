"""The to-do list for programs that speak the Model Context Protocol, over HTTP (docs/reference/mcp.md)."""
