"""Make lexemes of tokens, and the tsvector of a text, without PostgreSQL.

Every lexeme begins with a key of its owner, so that a user's words are a separate part of the index: a search reads no
entries of other users, and stays as fast when others write more.
"""

import base64
import threading
import uuid

import Stemmer

from chat.search.text import Kind, Token, tokens

# PostgreSQL's limits of a vector: positions up to 16,383, and 255 per lexeme.
MAX_TOKENS = 16_383
MAX_POSITIONS = 255
MAX_CHARACTERS = 250_000  # checked after every so many tokens
# Far below the 1 MiB that a vector may have; any message of a user fits.
MAX_BYTES = 256 * 1024
_KEY_BYTES = 6
_OVERHEAD = 4  # bytes of a lexeme in addition to its letters and positions

_local = threading.local()


def owner_key(user_id: uuid.UUID) -> str:
    """Return the prefix of a user's lexemes: eight characters. Two users may share one."""
    return base64.urlsafe_b64encode(user_id.bytes[:_KEY_BYTES]).decode()


def stem(word: str) -> str:
    """Return the English stem of a folded word; a word in another script is unchanged."""
    if not (word.isascii() and word.isalpha()):
        return word
    stemmer = getattr(_local, "stemmer", None)
    if stemmer is None:  # a stemmer is not thread-safe
        stemmer = _local.stemmer = Stemmer.Stemmer("english")
    return str(stemmer.stemWord(word))


def forms_of(token: Token) -> tuple[str, ...]:
    """Return the lexemes of a token: itself, and the stem of a word if it differs."""
    if token.kind is not Kind.WORD or (stemmed := stem(token.text)) == token.text:
        return (token.text,)
    return token.text, stemmed


def vector(user_id: uuid.UUID, text: str) -> str:
    """Return the text form of a tsvector: words, stems and pairs, each with its positions.

    Of a long text, only as many tokens as fit in MAX_TOKENS and MAX_BYTES are indexed.
    """
    positions: dict[str, list[int]] = {}
    room = MAX_BYTES
    for position, token in enumerate(tokens(text[:MAX_CHARACTERS]), 1):
        if position > MAX_TOKENS or room < 0:
            break
        for form in forms_of(token):
            found = positions.get(form)
            if found is None:
                found = positions[form] = []
                room -= len(form.encode()) + _KEY_BYTES * 4 // 3 + _OVERHEAD
            if len(found) < MAX_POSITIONS:
                found.append(position)
                room -= 2
    key = owner_key(user_id)
    return " ".join(f"'{key}{form}':{','.join(map(str, found))}" for form, found in positions.items())
