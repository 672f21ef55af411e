"""Full-text search over titles and messages.

`text` splits a text into tokens and `lexemes` makes a vector of them, `index` keeps the vectors of what is written
(`receivers`: through the ORM, and before an upgrade), `query` parses what a person asks for, `services` finds it, and
`snippets` cuts what is shown of a message.
"""
