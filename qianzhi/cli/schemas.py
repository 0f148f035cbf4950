"""JSON Schemas of the configuration's files, for editors: made from the tables that the daemons read.

Bank and site come from their dataclasses through pydantic, with the docstrings' rows as descriptions; specs
come from `spec_schema`.  Only keywords are used that draft 4 and later drafts understand alike, because the
TOML editors' checkers differ in age.  A schema helps while typing; what is valid is said by `qianzhi check`.
"""

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qianzhi.cli.output import BROKEN, USAGE, CommandError, say

if TYPE_CHECKING:
    from qianzhi.cli.chosen import Chosen

Schema = dict[str, Any]

DRAFT = "http://json-schema.org/draft-04/schema#"
FOLDER = "schemas"
NULL = {"type": "null"}
ROW = re.compile(r"^(\w+) {2,}(\S.*)$")


def bank_schema() -> Schema:
    """Return the schema of config/banks/*.toml."""
    from frontends.profile_tables import BankTable

    found = of_table(BankTable, "A bank's profile")
    spec = spec_schema()
    found["definitions"] |= spec.pop("definitions") | {"Spec": {"oneOf": spec["oneOf"]}}
    found["properties"]["spec"] = {"$ref": "#/definitions/Spec"}
    return found


def site_schema() -> Schema:
    """Return the schema of config/site.toml and config/sites/*.toml."""
    from crm_bridge.settings import CoreSettings
    from qianzhi.link.site import SiteFile

    found = of_table(SiteFile, "A site")
    core = of_table(CoreSettings, "The core")
    found["definitions"] |= core.pop("definitions", {})
    found["definitions"]["CoreSettings"] = {key: core[key] for key in core if key not in ("$schema", "title")}
    found["properties"]["core"] = {"$ref": "#/definitions/CoreSettings"}
    return found


def spec_schema() -> Schema:
    """Return the schema of config/specs/*.toml."""
    from qianzhi.cli.spec_schema import spec_schema as made

    return {"$schema": DRAFT, "title": "A message spec", **made()}


SCHEMAS: dict[str, Callable[[], Schema]] = {"bank": bank_schema, "spec": spec_schema, "site": site_schema}


def schema_command(chosen: "Chosen", what: str, write: bool, only_check: bool) -> None:
    """Print one schema; or write all of them under the configuration, or compare them with what is there."""
    if what not in SCHEMAS:
        raise CommandError(USAGE, f"there is no schema of {what!r}", f"one of {', '.join(SCHEMAS)}")
    if not write and not only_check:
        say(text_of(what).rstrip("\n"))
        return
    folder = chosen.config / FOLDER
    stale = []
    for name in SCHEMAS:
        path, text = folder / f"{name}.json", text_of(name)
        if write:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(path.name)
    if stale:
        raise CommandError(BROKEN, f"{folder}: {', '.join(stale)} differ", "run `qianzhi schema --write`")
    say(f"wrote {len(SCHEMAS)} files into {folder}" if write else f"{folder} equals what the code says")


def text_of(name: str) -> str:
    """Return a schema as it stands in its file."""
    return json.dumps(SCHEMAS[name](), ensure_ascii=False, indent=1) + "\n"


def of_table(cls: type[Any], title: str) -> Schema:
    """Return the schema of one `@table` class and of all that it holds."""
    from pydantic import TypeAdapter

    raw = TypeAdapter(cls).json_schema(ref_template="#/definitions/{model}")
    definitions = {name: plain(table) for name, table in sorted(raw.pop("$defs", {}).items())}
    return {"$schema": DRAFT, **plain(raw), "title": title, "definitions": definitions}


def plain(node: Any) -> Any:
    """Return a node in words of draft 4, described by its docstring, without titles that repeat its key."""
    if isinstance(node, list):
        return [plain(one) for one in node]
    if not isinstance(node, dict):
        return node
    found: Schema = {}
    branches = [one for one in node.get("anyOf", []) if one != NULL]
    if len(branches) == 1:  # TOML has no null: what may be absent is just not required
        return plain({key: one for key, one in node.items() if key not in ("anyOf", "default")} | branches[0])
    for key, value in node.items():
        if key == "properties":
            found[key] = {name: plain(one) for name, one in value.items()}
        elif key == "const":
            found["enum"] = [value]
        elif key == "exclusiveMinimum":
            found["minimum"] = value + 1 if node.get("type") == "integer" else value
            if node.get("type") != "integer":
                found["not"] = {"enum": [value]}
        elif key not in ("title", "default") or (key == "default" and not isinstance(value, dict)):
            found[key] = plain(value)
    return described(found)


def described(node: Schema) -> Schema:
    """Give each property what the docstring says of it, and take those rows out of the docstring."""
    text = node.get("description")
    if not text or "properties" not in node:
        return node
    kept: list[str] = []
    key = ""
    for line in text.splitlines():
        row = ROW.match(line)
        if row and row.group(1) in node["properties"]:
            key = row.group(1)
            node["properties"][key]["description"] = row.group(2)
        elif key and line.startswith("  "):
            node["properties"][key]["description"] += f" {line.strip()}"
        else:
            key = ""
            kept.append(line)
    node["description"] = "\n".join(kept).strip()
    return node
