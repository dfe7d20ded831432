"""The API reference, drawn from openapi.yaml: every operation with its parameters, body, answers, examples and error codes, and every schema."""

import json
from html import escape

import schema as shapes
from pages import table

JSON = "application/json"
METHODS = ("get", "post", "patch", "delete")


class Reference:
    def __init__(self, specification, statuses):
        """`statuses`: the HTTP status of every error code."""
        self.specification = specification
        self.statuses = statuses
        self.shapes = shapes.Shapes(specification)
        self.operations = [
            (method, path, item[method]) for path, item in specification["paths"].items() for method in METHODS if method in item]

    def html(self):
        info = self.specification["info"]
        parts = ["<h1>API reference</h1>", f"<p>{shapes.inline(info['description'])}</p>", self.conventions(), self.contents()]
        for tag in self.specification["tags"]:
            parts.append(f'<h2 id="{tag["name"]}"><a href="#{tag["name"]}">{escape(tag["name"].capitalize())}</a></h2>')
            if "description" in tag:
                parts.append(f"<p>{shapes.inline(tag['description'])}</p>")
            parts += [self.operation(*each) for each in self.operations if tag["name"] in each[2]["tags"]]
        parts.append('<h2 id="schemas"><a href="#schemas">Schemas</a></h2>')
        parts += [self.schema(name) for name in sorted(self.specification["components"]["schemas"])]
        return "\n".join(parts) + "\n"

    def text(self):
        """For a terminal: the list; the whole of it is openapi.yaml."""
        lines = ["# API reference", "", "The description that machines read, and the whole of it: [/openapi.yaml](/openapi.yaml).", ""]
        for tag in self.specification["tags"]:
            lines += [f"## {tag['name'].capitalize()}", "", "| request | does |", "|---|---|"]
            lines += [f"| `{m.upper()} {p}` | {o['summary']} |" for m, p, o in self.operations if tag["name"] in o["tags"]] + [""]
        return "\n".join(lines)

    def conventions(self):
        return (
            '<p>Machines read <a href="/openapi.yaml">/openapi.yaml</a>, which this page is drawn from. Send '
            "<code>Authorization: Bearer</code> and an API key with every request under <code>/v1</code>. Bodies are JSON, times RFC 3339, "
            "lists are newest first unless they say otherwise. Members and values may be added; ignore those that you do not know. "
            'A refusal is a <a href="#schema-Problem">Problem</a> with a <a href="/docs/errors">code</a> that has a page of its own.</p>')

    def contents(self):
        rows = []
        for method, path, operation in self.operations:
            rows.append([
                f'<a href="#{operation["operationId"]}">{self.verb(method)}<code>{escape(path)}</code></a>', escape(operation["summary"])])
        return table(["request", "does"], rows)

    def operation(self, method, path, operation):
        name = operation["operationId"]
        parts = [
            f'<section class="operation"><h3 id="{name}"><a href="#{name}">{self.verb(method)}<code>{escape(path)}</code></a></h3>',
            f"<p><strong>{escape(operation['summary'])}.</strong> {shapes.inline(operation.get('description', ''))}</p>"]
        parameters = [self.shapes.resolved(p) for p in operation.get("parameters", [])]
        if parameters:
            rows = [[
                f"<code>{escape(p['name'])}</code>{shapes.MUST if p.get('required') else ''}", p["in"], *self.shapes.described(p["schema"], p)
            ] for p in parameters]
            parts.append("<h4>Parameters</h4>" + table(["name", "in", "type", ""], rows))
        parts.append(self.body(method, path, operation))
        parts.append(self.answers(operation))
        parts.append(self.errors(operation))
        return "".join(parts) + "</section>"

    def body(self, method, path, operation):
        if "requestBody" not in operation:
            return ""
        content = operation["requestBody"]["content"][JSON]
        example = content.get("example") or self.shapes.example(content["schema"])
        text = json.dumps(example, ensure_ascii=False, indent=2)
        curl = (
            f"curl -sS -X {method.upper()} $GATEWAY_URL{path} \\\n  -H \"Authorization: Bearer $GATEWAY_KEY\" "
            f"-H \"Content-Type: application/json\" \\\n  -d '{json.dumps(example, ensure_ascii=False)}'")
        kind = "" if operation["requestBody"].get("required") else " <small>may be absent</small>"
        return (
            f"<h4>Body{kind}</h4><p>{self.shapes.name(content['schema'])}</p>" + self.shapes.members(content["schema"])
            + f"<pre><code>{escape(text)}</code></pre><details><summary>with curl</summary><pre><code>{escape(curl)}</code></pre></details>")

    def answers(self, operation):
        parts = ["<h4>Answers</h4>"]
        for status, answer in operation["responses"].items():
            answer = self.shapes.resolved(answer)
            if "application/problem+json" in answer.get("content", {}):
                continue
            parts.append(f"<p><strong>{status}</strong> {shapes.inline(answer['description'])}</p>")
            headers = answer.get("headers", {})
            parts.append(table(
                ["header", "type", ""],
                [[f"<code>{escape(h)}</code>", *self.shapes.described(v["schema"], v)] for h, v in headers.items()]))
            for media, content in answer.get("content", {}).items():
                if media != JSON:
                    parts.append(f"<p>Also as <code>{media}</code>.</p>")
                    continue
                text = json.dumps(content.get("example") or self.shapes.example(content["schema"]), ensure_ascii=False, indent=2)
                parts.append(
                    f"<details><summary>{self.shapes.name(content['schema'])}</summary>" + self.shapes.members(content["schema"])
                    + f"<pre><code>{escape(text)}</code></pre></details>")
        return "".join(parts)

    def errors(self, operation):
        """The codes by status: those that every such answer may have, and those of this operation."""
        own = operation.get("x-codes", [])
        rows = []
        for status, answer in operation["responses"].items():
            answer = self.shapes.resolved(answer)
            if "x-codes" in answer:
                codes = answer["x-codes"] + [code for code in own if self.statuses[code] == status]
                rows.append([status, " ".join(f'<a href="/docs/errors/{code}"><code>{code}</code></a>' for code in codes)])
        return "<h4>Refusals</h4>" + table(["status", "code"], rows) if rows else ""

    def schema(self, name):
        schema = self.specification["components"]["schemas"][name]
        type_, text = self.shapes.described(schema, schema)
        return f'<h3 id="schema-{name}"><a href="#schema-{name}">{name}</a></h3><p>{type_}. {text}</p>' + self.shapes.members(schema)

    @staticmethod
    def verb(method):
        return f'<span class="verb {method}">{method.upper()}</span>'
