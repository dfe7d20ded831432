"""Schemas of openapi.yaml as rows of a table, and as examples."""

import re
from html import escape

from pages import table

MUST = ' <span class="must">required</span>'
SAMPLES = {
    "date-time": "2026-11-21T08:09:10.123Z", "sender": "snd_01k7t3n5v9f8r2w6x0yzabcdeh", "message": "msg_01k7t3n5v9f8r2w6x0yzabcdeh",
    "to": "+628123456789", "label": "CS 1", "url": "https://example.com/webhooks/whatsapp", "request_id": "req_0123456789abcdef0123456789",
    "reason": "Chosen in turn among 2 of 2 senders.", "policy": "round_robin", "pool": "pool_01k7t3n5v9f8r2w6x0yzabcdeh", "reference": "order-17",
    "name": "Indonesia", "address": "ops@example.com", "time_zone": "Asia/Jakarta", "runbook": "/docs/alerts/sender_down",
    "event": "evt_01k7t3n5v9f8r2w6x0yzabcdeh", "endpoint": "whk_01k7t3n5v9f8r2w6x0yzabcdeh", "notice": "ntc_01k7t3n5v9f8r2w6x0yzabcdeh",
}
# What the id of a thing begins with, by the schema that it stands in.
PREFIXES = {
    "Message": "msg_", "Sender": "snd_", "Pool": "pool_", "WebhookEndpoint": "whk_", "CreatedWebhookEndpoint": "whk_", "WebhookEvent": "evt_",
    "ConsideredSender": "snd_", "Alert": "alt_", "AlertChannel": "chn_", "TelegramLink": "lnk_", "StartedTelegramLink": "lnk_", "AlertNotice": "ntc_", "sender": "snd_",
    "Explanation": "snd_",
}


def inline(text):
    """Code between backticks, and addresses of pages as links."""
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text.strip(), quote=False))
    return re.sub(r"(?<![\w/\">])(/docs/[\w/-]+\w)", r'<a href="\1">\1</a>', text)


class Shapes:
    def __init__(self, specification):
        self.specification = specification

    def resolved(self, node):
        while "$ref" in node:
            target = self.specification
            for step in node["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            node = target
        return node

    def name(self, schema):
        if "$ref" in schema:
            name = schema["$ref"].rsplit("/", 1)[1]
            return f'<a href="#schema-{name}">{name}</a>'
        return self.type(schema)

    def type(self, schema):
        """What a value is, in a few words."""
        if "$ref" in schema:
            target = self.resolved(schema)
            return self.name(schema) if "properties" in target or "enum" in target else self.type(target)
        for word in ("anyOf", "oneOf"):
            if word in schema and "properties" not in schema:
                return " or ".join(dict.fromkeys(self.type(each) for each in schema[word]))
        kinds = schema.get("type", "any")
        kinds = [kinds] if isinstance(kinds, str) else list(kinds)
        if "const" in schema:
            return f"<code>{escape(str(schema['const']))}</code>"
        words = []
        for kind in kinds:
            if kind == "array":
                words.append("array of " + self.type(schema.get("items", {})))
            elif kind == "object" and isinstance(schema.get("additionalProperties"), dict):
                words.append("object of " + self.type(schema["additionalProperties"]))
            elif kind == "string" and schema.get("format") == "date-time":
                words.append("time")
            elif kind == "integer":
                words.append("whole number")
            else:
                words.append(kind)
        return " or ".join(words)

    def described(self, schema, owner):
        """Type, and the rest: what it is for, what it may be."""
        target = self.resolved(schema)
        parts = []
        description = owner.get("description") or target.get("description")
        if description:
            parts.append(inline(description))
        if len(target.get("enum", [])) == 1:
            parts.append(f"Always <code>{target['enum'][0]}</code>.")
        elif "enum" in target or "enum" in target.get("items", {}):
            values = target.get("enum") or target["items"]["enum"]
            parts.append("One of " + ", ".join(f"<code>{value}</code>" for value in values if value is not None) + ".")
        low, high = target.get("minimum"), target.get("maximum")
        if low is not None or high is not None:
            parts.append(f"From {low:,} to {high:,}." if high is not None and low is not None else f"At least {low:,}." if high is None else f"At most {high:,}.")
        if "maxLength" in target:
            parts.append(f"At most {target['maxLength']:,} characters.")
        if "maxItems" in target and "enum" not in target.get("items", {}):
            parts.append(f"At most {target['maxItems']:,}.")
        if target.get("default") is not None:
            default = target["default"]
            parts.append(f"Default <code>{escape(str(default).lower() if isinstance(default, bool) else str(default))}</code>.")
        return self.type(schema), " ".join(parts)

    def members(self, schema, prefix=""):
        """The members of an object as a table; those of objects without a name of their own below it, with their path."""
        rows = self.rows(schema, prefix)
        return table(["member", "type", ""], rows)

    def rows(self, schema, prefix=""):
        target = self.resolved(schema)
        rows = []
        for name, member in target.get("properties", {}).items():
            must = MUST if name in target.get("required", []) and target.get("additionalProperties") is False else ""
            rows.append([f"<code>{prefix}{name}</code>{must}", *self.described(member, member)])
            if "$ref" not in member:
                rows += self.rows(member, f"{prefix}{name}.")
                if "properties" in member.get("items", {}):
                    rows += self.rows(member["items"], f"{prefix}{name}[].")
        return rows

    def example(self, schema, name="", owner=""):
        """A value of this schema: its own example, else one that is made up from what the schema says."""
        if "$ref" in schema:
            owner = schema["$ref"].rsplit("/", 1)[1]
            schema = self.resolved(schema)
        if "example" in schema:
            return schema["example"]
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return schema["enum"][0]
        for word in ("anyOf", "oneOf"):
            if word in schema and "properties" not in schema:
                return self.example(next(each for each in schema[word] if each.get("type") != "null"), name, owner)
        kind = schema.get("type", "string")
        if isinstance(kind, list):
            if "null" in kind and owner not in ("Message",) and (schema.get("format") == "date-time" or name in ("next_cursor", "failure")):
                return None
            kind = kind[0]
        if kind == "object":
            owner = name if name in PREFIXES else owner
            given = {key: self.example(member, key, owner) for key, member in schema.get("properties", {}).items()}
            return {key: value for key, value in given.items() if value is not None or key in schema.get("required", [])}
        if kind == "array":
            return [self.example(schema.get("items", {}), name, owner)]
        if kind == "boolean":
            return schema.get("default", False)
        if kind in ("integer", "number"):
            return schema.get("default", schema.get("minimum", 1))
        if name == "id" and owner in PREFIXES:
            return PREFIXES[owner] + "01k7t3n5v9f8r2w6x0yzabcdeh"
        prefix = re.match(r"\^([a-z]+_)\[", schema.get("pattern", ""))
        if prefix:
            return prefix[1] + "01k7t3n5v9f8r2w6x0yzabcdeh"
        return SAMPLES.get(schema.get("format", "")) or SAMPLES.get(name) or schema.get("default") or "…"
