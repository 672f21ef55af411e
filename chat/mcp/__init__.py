"""The to-do list for MCP clients: the assistant's tools, over HTTP (docs/reference/mcp.md)."""
