"""Validation of everything a model returns, before it is journaled, stored, shown, executed or sent back.

`chunks` repairs the chunks of Chat Completions before the SDK reads them, `text` separates reasoning from replies,
`items` rebuilds output items, `model` applies both to a response, and `history` prepares items for a request.
"""
