"""The parts that every page of the docs is made of."""

import re
from html import escape


def frame(index):
    """What stands around a page. Its navigation is the page `index`: a group for each heading, with the links below it."""
    groups = []
    for block in re.split(r"^## ", index, flags=re.M)[1:]:
        heading, body = block.split("\n", 1)
        links = "".join(
            f'<li><a href="{link}">{escape(label)}</a></li>' for label, link in re.findall(r"^- \[([^\]]+)\]\(([^)]+)\)", body, flags=re.M))
        groups.append(f"<h2>{escape(heading)}</h2><ul>{links}</ul>")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        '<title>{title} · WhatsApp gateway</title><link rel="stylesheet" href="/docs/style.css"></head>\n<body>'
        '<a class="skip" href="#main">Skip to the text</a>'
        '<header><a href="/docs">WhatsApp gateway</a><a class="menu" href="#menu">Pages</a></header>\n'
        '<main id="main">\n{body}\n</main>\n'
        f'<nav id="menu" aria-label="Pages">{"".join(groups)}</nav>\n</body></html>')


def slug(text):
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"<[^>]+>", "", text).lower()).strip("-")


def anchored(html):
    """Headings can be linked to; tables scroll by themselves where the window is narrow."""
    html = re.sub(r"<h([23])>(.*?)</h\1>", lambda m: f'<h{m[1]} id="{slug(m[2])}"><a href="#{slug(m[2])}">{m[2]}</a></h{m[1]}>', html)
    return html.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")


def example(title, path, code, is_open):
    return (
        f'<details class="example"{" open" if is_open else ""}><summary>{escape(title)} <small>{escape(path)}</small></summary>'
        f"<pre><code>{escape(code)}</code></pre></details>\n")


def table(heads, rows):
    if not rows:
        return ""
    head = "".join(f"<th>{head}</th>" for head in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>\n'
