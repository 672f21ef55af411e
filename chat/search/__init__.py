"""Full-text search over titles and messages.

`text` splits a text into tokens and `lexemes` makes a vector of them, `index` stores the vectors of new texts
(`receivers`: of those written through the ORM, and before an upgrade), `query` parses a user's query, `services` runs
it, and `snippets` cuts excerpts of messages.
"""
