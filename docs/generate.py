"""Write what the reference takes from the code: settings, commands, frames, and the HTTP API.

uv run python -m docs.generate           # writes docs/reference/*.md and .env.example
uv run python -m docs.generate --check   # fails if a file is not what the code says
"""

import ast
import os
import re
import sys
from argparse import Action
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any, get_args

import django
from django.core.management import BaseCommand, find_commands, load_command_class

ROOT = Path(__file__).resolve().parent.parent
APPS = ("config", "sessions_admin", "chat")
# The groups of settings: each begins at the named setting.
GROUPS = {
    "ENV_FILE": "General",
    "PUBLIC_URL": "Addresses and proxies",
    "EXTRA_APPS": "General",
    "SIGNUP": "Accounts and mail",
    "AGENT_SESSION_STORE": "Memory and retention",
    "OPENAI_API_KEY": "Model",
    "MESSAGES_PER_MINUTE": "Limits",
    "LOG_LEVEL": "General",
    "ADMIN_EMAIL": "Accounts and mail",
}
READERS = {"text", "parsed", "whole", "optional_whole", "flag", "choice", "items", "url", "dotted"}
DJANGO_OPTIONS = {action.dest for action in BaseCommand().create_parser("", "")._actions}


def table(*heads: str, rows: Iterator[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [heads, ("---",) * len(heads), *rows]
    return "".join("| " + " | ".join(cell.replace("|", r"\|").strip() for cell in line) + " |\n" for line in lines)


def one_line(text: str | None) -> str:
    """Return a text without line breaks."""
    return " ".join((text or "").split())


# Settings.


@dataclass(frozen=True)
class Setting:
    """A variable of the environment."""

    name: str
    default: str  # empty if it is computed: the description explains it
    allowed: str
    description: str  # may end with an example: Such as `value`.

    @property
    def example(self) -> str:
        """The value after “Such as”."""
        found = re.search(r" Such as `(.+)`\.$", self.description)
        return found[1] if found else ""


def settings() -> Iterator[Setting]:
    """Yield the variables that the code reads, each with the `#:` comment above its call or statement."""
    seen = set()
    for path in ("config/settings.py", "config/runtime/bootstrap.py"):
        source = (ROOT / path).read_text()
        tree = ast.parse(source)
        constants = {ast.unparse(node.targets[0]): node.value for node in tree.body if isinstance(node, ast.Assign)}
        starts = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.stmt)]
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and is_reader(node.func)]
        for call in sorted(calls, key=lambda call: call.lineno):
            name = ast.literal_eval(call.args[0])
            if name not in seen:
                seen.add(name)
                places = (call.lineno, max(start for start in starts if start <= call.lineno))
                description = next(filter(None, (comment_above(place, source.splitlines()) for place in places)), "")
                if not description:
                    sys.exit(f"No `#:` comment describes {name}.")
                yield Setting(name, default_of(call), allowed_by(call, constants), description)


def is_reader(function: ast.expr) -> bool:
    """Return whether a function reads a variable of the environment."""
    module, _, name = ast.unparse(function).rpartition(".")
    return (module == "env" and name in READERS) or (module, name) == ("os.environ", "get")


def comment_above(number: int, lines: list[str]) -> str:
    """Return the `#:` comment that ends above a line."""
    found: list[str] = []
    while (line := lines[number - 2 - len(found)].strip()).startswith("#: "):
        found.insert(0, line.removeprefix("#: "))
    return " ".join(found)


def default_of(call: ast.Call) -> str:
    """Return the default in a call, or an empty string if it is computed."""
    values = call.args[1:2] if ast.unparse(call.func) != "env.url" else []  # whose other arguments are schemes
    given = [*values, *(keyword.value for keyword in call.keywords if keyword.arg == "default")]
    value = given[0].value if given and isinstance(given[0], ast.Constant) else ""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def allowed_by(call: ast.Call, constants: dict[str, ast.expr]) -> str:
    """Return the values that a call allows, as a sentence."""
    if ast.unparse(call.func) == "env.choice":
        return "One of " + ", ".join(f"`{ast.literal_eval(option)}`" for option in call.args[2:]) + "."
    bounds = {
        keyword.arg: ast.literal_eval(constants.get(ast.unparse(keyword.value), keyword.value))
        for keyword in call.keywords
        if keyword.arg in ("least", "most")
    }
    if "most" in bounds:
        return f"{bounds.get('least', 0)} to {bounds['most']}."
    return f"At least {bounds['least']}." if bounds.get("least", 1) > 1 else ""


def grouped_settings() -> dict[str, list[Setting]]:
    """Return the settings by group."""
    groups: dict[str, list[Setting]] = {}
    for setting in settings():
        if setting.name in GROUPS:
            group = groups.setdefault(GROUPS[setting.name], [])
        group.append(setting)
    return groups


def settings_tables() -> str:
    """Return a table for each group of settings."""
    text = ""
    for group, members in grouped_settings().items():
        rows = (
            (f"`{each.name}`", f"`{each.default}`" if each.default else "", f"{each.description} {each.allowed}")
            for each in members
        )
        text += f"## {group}\n\n{table('variable', 'default', 'meaning', rows=rows)}\n"
    return text


def env_example() -> str:
    """Return an `.env` file with every setting commented out."""
    text = (
        "# Copy to .env and remove the # of what you want to change. What the environment sets wins over this file.\n"
    )
    for group, members in grouped_settings().items():
        text += f"\n## {group}\n"
        for setting in members:
            description = setting.description.removesuffix(f" Such as `{setting.example}`.")
            comment = f"{description} {setting.allowed}".replace("`", "")
            text += fill(comment, 120, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
            text += f"\n#{setting.name}={setting.default or setting.example}\n"
    return text


# Commands and frames.


def commands_table() -> str:
    """Return a table of our commands, from their parsers."""

    def rows() -> Iterator[tuple[str, ...]]:
        for app in APPS:
            for name in sorted(find_commands(str(ROOT / app / "management"))):
                command = load_command_class(app, name)
                is_ours = type(command).add_arguments.__module__.startswith(APPS)
                arguments = command.create_parser("manage.py", name)._actions if is_ours else []
                arguments = [argument for argument in arguments if argument.dest not in DJANGO_OPTIONS]
                options = [argument for argument in arguments if argument.option_strings and argument.dest != "json"]
                described = [f"`{option.option_strings[0]}`: {(option.help or '').rstrip('.')}." for option in options]
                yield f"`{' '.join([name, *map(usage, arguments)])}`", " ".join([command.help, *described])

    return table("command", "effect", rows=rows())


def usage(argument: Action) -> str:
    """Return an argument as it stands in a usage line."""
    value = str(argument.metavar or argument.dest.upper())
    if argument.option_strings:
        return f"[{argument.option_strings[0]}]" if argument.nargs == 0 else f"[{argument.option_strings[0]} {value}]"
    return {"*": f"[{value}…]", "?": f"[{value}]"}.get(str(argument.nargs), value)


def client_frames() -> str:
    """Return a table of the frames that a client sends, from their types."""
    from chat.realtime.client_frames import ClientFrame

    def rows() -> Iterator[tuple[str, ...]]:
        for frame in get_args(ClientFrame):
            (kind,) = get_args(frame.model_fields["type"].annotation)
            names = [f"`{name}{'' if field.is_required() else '?'}`" for name, field in frame.model_fields.items()]
            yield f"`{kind}`", ", ".join(names[1:]), one_line(frame.__doc__)

    return table("type", "fields", "meaning", rows=rows())


# The HTTP API.


class Api:
    """The tables of the HTTP API, from its OpenAPI description."""

    def __init__(self) -> None:
        from config.api import api

        described: dict[str, Any] = api.get_openapi_schema()
        self.schemas: dict[str, Any] = described["components"]["schemas"]
        self.events: dict[str, str] = self.schemas["TurnEvent"]["discriminator"]["mapping"]
        self.operations = [
            (f"{method.upper()} {path}", operation)
            for path, methods in described["paths"].items()
            for method, operation in methods.items()
        ]

    def operations_table(self) -> str:
        """Return a table of the operations."""

        def rows() -> Iterator[tuple[str, ...]]:
            for line, operation in self.operations:
                query = [given for given in operation.get("parameters", []) if given["in"] == "query"]
                names = "&".join(given["name"] for given in query)
                body = [f"`{{{', '.join(self.fields(schema))}}}`" for schema in bodies(operation)]
                notes = [f"`{given['name']}`: {self.note(given)}" for given in query if self.note(given)]
                scopes = [scope for way in operation["security"] for scope in way.get("bearer", [])]
                yield (
                    " ".join([f"`{line}?{names}`" if names else f"`{line}`", *body]),
                    "".join(scopes),
                    " ".join([one_line(operation["description"]), *notes, "→", self.answers(operation)]),
                )

        return table("operation", "scope", "effect", rows=rows())

    def shapes_table(self) -> str:
        """Return a table of what operations answer."""
        sent = {name_of(schema) for _, operation in self.operations for schema in bodies(operation)}
        events = {name_of({"$ref": event}) for event in self.events.values()}
        hidden = sent | events | {"ErrorReply", "Problem", "AdoptedBatch", "NextMemory", "QuarantinedRow"}
        shapes = {name: schema for name, schema in sorted(self.schemas.items()) if "properties" in schema}
        return table(
            "shape",
            "fields",
            rows=(
                (f"`{name}`", ", ".join(f"`{field}`" for field in self.fields(schema)))
                for name, schema in shapes.items()
                if name not in hidden and not name.endswith("Page") and not name.startswith("Inspect")
            ),
        )

    def stream_events_table(self) -> str:
        """Return a table of the events of a stream."""

        def rows() -> Iterator[tuple[str, ...]]:
            for kind, reference in self.events.items():
                schema = self.schemas[name_of({"$ref": reference})]
                notes = [
                    f"`{name}`: {field['description']}"
                    for name, field in schema["properties"].items()
                    if "description" in field
                ]
                fields = ", ".join(f"`{field}`" for field in self.fields(schema)[1:])
                yield f"`{kind}`", fields, " ".join([one_line(schema["description"]), *notes])

        return table("event", "fields", "meaning", rows=rows())

    def fields(self, schema: dict[str, Any]) -> list[str]:
        """Return a schema's fields: `name?` may be missing, `name|null` may be null."""
        schema = self.resolved(schema)
        return [
            name + ("" if name in schema.get("required", []) else "?") + kind_of(field)
            for name, field in schema["properties"].items()
        ]

    def resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return the schema that a reference names, or the schema itself."""
        return self.schemas[name_of(schema)] if "$ref" in schema else schema

    def note(self, parameter: dict[str, Any]) -> str:
        """Return a query parameter's description or its values."""
        if parameter["name"] in ("limit", "after"):
            return ""
        kinds = [self.resolved(kind) for kind in parameter["schema"].get("anyOf", [parameter["schema"]])]
        values = [value for kind in kinds for value in kind.get("enum", [])]
        return ", ".join(values) + "." if values else str(parameter.get("description") or "")

    def answers(self, operation: dict[str, Any]) -> str:
        """Return the statuses and shapes of an operation's answers."""
        found = []
        for status, answer in operation["responses"].items():
            content = {kind: given["schema"] for kind, given in answer.get("content", {}).items()}
            names = [f"`{name_of(schema)}`" for schema in content.values() if "$ref" in schema]
            if any(name.endswith("Page`") for name in names):
                names = [
                    f"a list of `{name_of(self.schemas[name.strip('`')]['properties']['items']['items'])}`"
                    for name in names
                ]
            if "text/event-stream" in content:
                names.append("a stream")
            if status < "400":
                found.append(" ".join([status, *names]))
        return ", ".join(found)


def name_of(schema: dict[str, Any]) -> str:
    """Return the name of a schema that is referred to."""
    return str(schema["$ref"].rpartition("/")[2])


def bodies(operation: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the schema of an operation's body, or nothing if it takes none."""
    return [content["schema"] for content in operation.get("requestBody", {}).get("content", {}).values()]


def kind_of(field: dict[str, Any]) -> str:
    """Return what a field holds, if that is another shape or may be null."""
    kinds = field.get("anyOf", [field])
    shapes = [kind for kind in kinds if "$ref" in kind.get("items", kind)]
    named = "".join(f": {name_of(kind.get('items', kind))}{'[]' if 'items' in kind else ''}" for kind in shapes)
    return named + ("|null" if {"type": "null"} in kinds else "")


def generated() -> Iterator[tuple[Path, str]]:
    """Yield each generated file and its text."""
    yield ROOT / ".env.example", env_example()
    api = Api()
    parts = {
        "settings": settings_tables,
        "commands": commands_table,
        "client frames": client_frames,
        "operations": api.operations_table,
        "shapes": api.shapes_table,
        "stream events": api.stream_events_table,
    }
    for path in (ROOT / "docs/reference").glob("*.md"):
        text = path.read_text()
        for part, write in parts.items():
            before, begin, rest = text.partition(f"<!-- generated: {part} -->\n")
            if begin:
                text = f"{before}{begin}\n{write().strip()}\n\n<!-- end -->{rest.partition('<!-- end -->')[2]}"
        yield path, text


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    stale = {path: text for path, text in generated() if not path.exists() or path.read_text() != text}
    if stale and "--check" in sys.argv:
        names = ", ".join(str(path.relative_to(ROOT)) for path in stale)
        sys.exit(f"These files are not what the code says: {names}. `uv run python -m docs.generate` writes them.")
    for path, text in stale.items():
        path.write_text(text)


if __name__ == "__main__":
    main()
