"""The documentation: pages of Markdown that `make generate` writes from the contract and the guides
for integrators, shown as HTML, as Markdown, and all together for programs that read text.

A page needs no other host: its one script copies examples and tries calls, and is served from here.
"""

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from importlib import resources
from typing import TYPE_CHECKING, Any

from server.identity.credentials import TEST_KEY_PREFIX

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererHTML
    from markdown_it.token import Token

INDEX = "index"
COLLECTION = "partner.postman_collection.json"
STATIC = {
    "documentation.css": "text/css",
    "documentation.js": "text/javascript",
}
"""What the pages load, by name below /docs: its media type."""
READERS = ("partner", "traveller", "terminal", "administrator")
TABBED = {"curl", "grpcurl", "Python", "Java", "TypeScript", "Go"}
"""Examples that say the same, of which a reader sees one."""
LANGUAGES = {"python": "Python", "java": "Java", "json": "JSON", "ts": "TypeScript", "go": "Go"}
COMMANDS = {"curl": "curl", "grpcurl": "grpcurl"}


@dataclass(frozen=True)
class Documentation:
    """All pages.

    Attributes:
        pages: title and Markdown by path below /docs; `index` is /docs itself.
        examples: by page and name what stands there for what a call gives, e.g. `batch_id`.
        offered_key: a sandbox key that is put in for whoever tries calls; empty if none is.
    """

    pages: Mapping[str, Mapping[str, str]]
    examples: Mapping[str, Mapping[str, str]]
    offered_key: str = ""

    def markdown(self, name: str) -> str | None:
        """A page as it is written; None if there is none."""
        page = self.pages.get(name)
        return None if page is None else page["markdown"]

    def html(self, name: str) -> str | None:
        """A page as a browser shows it; None if there is none."""
        page = self.pages.get(name)
        if page is None:
            return None
        key = self._key(name, page["markdown"])
        body = _body(name, page["markdown"])
        # what is above the calls, and what all of them use
        content = body.replace("<div class='table'>", f"{key}<div class='table'>", 1)
        return framed(page["title"], _path(name), content)

    def _key(self, name: str, markdown: str) -> str:
        """The field for the key of tries, where there is something to try."""
        header = re.search(r'-H "(X-Api-Key|Authorization): ', markdown)
        if header is None:
            return ""
        is_partner = header[1] == "X-Api-Key"
        examples = escape(json.dumps(self.examples.get(name, {}), ensure_ascii=False))
        label = "Sandbox key" if is_partner else "Access token"
        note = (
            f"Only sandbox keys (<code>{TEST_KEY_PREFIX}…</code>) are sent from here: they have"
            " test stock and test tickets. "
            if is_partner
            else "Tokens are sent on a demo server of your own machine alone. "
        )
        if is_partner and self.offered_key:
            note += "This one is the demo's. "
        return (
            f"<div class='key'><label for='secret'>{label} to try calls with</label>"
            "<input id='secret' type='password' autocomplete='off' spellcheck='false'"
            f" aria-describedby='secret-note' data-prefix='{TEST_KEY_PREFIX}'"
            f" data-offered='{'yes' if self.offered_key else ''}'"
            f" data-examples='{examples}'"
            f" value='{escape(self.offered_key) if is_partner else ''}'>"
            f"<div id='secret-note'>{note}It is kept in this page and goes nowhere but with a"
            " try.</div></div>"
        )

    def llms(self) -> str:
        """All pages by name, with links to their Markdown (llms.txt)."""
        lines = ["# DeepTravel Ticketing", ""]
        lines += [
            "> Sells, issues, distributes and redeems travel tickets, over gRPC and JSON.",
            "",
        ]
        groups = {"Pages": "", "Guides": "guides/", "Reasons": "reasons/"}
        for title, prefix in groups.items():
            lines += [f"## {title}", ""]
            lines += [
                f"- [{page['title']}]({_path(name)}.md)"
                for name, page in self.pages.items()
                if name.rpartition("/")[0] == prefix.rstrip("/")
            ]
            lines.append("")
        return "\n".join([*lines, "- [OpenAPI](/openapi.json)", ""])


@functools.cache
def documentation(offered_key: str = "") -> Documentation:
    """As the contract was when the code was generated."""
    text = resources.files("deeptravel").joinpath("documentation.json").read_bytes()
    written = json.loads(text)
    return Documentation(written["pages"], written["examples"], offered_key)


def collection() -> bytes:
    """The calls of partners for Postman."""
    return resources.files("deeptravel").joinpath(COLLECTION).read_bytes()


def static(name: str) -> bytes:
    """What the pages load."""
    return resources.files("server.api.http").joinpath(name).read_bytes()


def framed(title: str, path: str, content: str) -> str:
    """A whole page: what all pages have around what one shows, with the page's path."""
    links = {"/docs": "DeepTravel Ticketing"}
    links |= {f"/docs/{name}": name.capitalize() for name in READERS}
    links |= {"/docs#guides": "Guides", "/docs/reasons": "Reasons", "/docs/reference": "Reference"}
    shown = "".join(
        f"<a href='{link}'{' aria-current=page' if link == path else ''}>{text}</a>"
        for link, text in links.items()
    )
    has_markdown = path != "/docs/reference"
    markdown = f"<a href='{escape(path)}.md'>This page as Markdown</a> · " if has_markdown else ""
    whole = title if title == links["/docs"] else f"{title} · {links['/docs']}"
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(whole)}</title>"
        "<link rel='stylesheet' href='/docs/documentation.css'></head><body>"
        "<a class='skip' href='#content'>Skip to the content</a>"
        f"<header><nav aria-label='Documentation'>{shown}</nav></header>"
        f"<main id='content' tabindex='-1'>{content}</main>"
        f"<footer>{markdown}<a href='/llms.txt'>llms.txt</a> ·"
        " <a href='/openapi.json'>openapi.json</a></footer>"
        "<script src='/docs/documentation.js'></script></body></html>"
    )


def _path(name: str) -> str:
    return "/docs" if name == INDEX else f"/docs/{name}"


def _body(name: str, markdown: str) -> str:
    body = _renderer().render(markdown)
    if name == INDEX:
        first, end, rest = body.partition("</ul>")
        first = first.replace("<ul>", "<ul class='readers'>").replace("</a>: ", "</a> ")
        body = first + end + rest
    return re.sub(
        r"(?:<div class='example'(?:(?!</div>).)*</div>\s*){2,}", _grouped, body, flags=re.S
    )


def _grouped(found: re.Match[str]) -> str:
    """Examples that follow each other: together, if they say the same in different languages."""
    kinds = re.findall(r"data-kind='([^']*)'", found[0])
    is_same = len(set(kinds)) == len(kinds) and TABBED.issuperset(kinds)
    return f"<div class='examples'>{found[0]}</div>" if is_same else found[0]


@functools.cache
def _renderer() -> "MarkdownIt":
    from markdown_it import MarkdownIt  # loaded by the first page that a browser asks for

    made = MarkdownIt("commonmark", {"html": False}).enable("table")
    made.add_render_rule("heading_open", _heading)
    made.add_render_rule("fence", _fence)
    made.add_render_rule("table_open", lambda *_: "<div class='table'><table>")
    made.add_render_rule("table_close", lambda *_: "</table></div>")
    made.add_render_rule("heading_close", _heading_end)
    return made


def _heading(_self: "RendererHTML", tokens: list["Token"], index: int, *_more: Any) -> str:
    """With an id to be linked to: its text, as links write it."""
    return f"<{tokens[index].tag} id='{escape(_anchor(tokens[index + 1]))}'>"


def _heading_end(_self: "RendererHTML", tokens: list["Token"], index: int, *_more: Any) -> str:
    tag, inside = tokens[index].tag, tokens[index - 1]
    link = (
        f"<a class='anchor' href='#{escape(_anchor(inside))}'"
        f" aria-label='Link to {escape(inside.content)}'>#</a>"
        if tag == "h2"
        else ""
    )
    return f"{link}</{tag}>"


def _anchor(heading: "Token") -> str:
    return re.sub(r"[^\w ]", "", heading.content).strip().lower().replace(" ", "-")


def _fence(_self: "RendererHTML", tokens: list["Token"], index: int, *_more: Any) -> str:
    """With what it is written in, for the buttons of the script."""
    token = tokens[index]
    first = token.content.split(maxsplit=1)[0] if token.content.strip() else ""
    label = COMMANDS.get(first) or LANGUAGES.get(token.info.strip(), "")
    return (
        f"<div class='example' data-kind='{escape(label)}'><b>{escape(label)}</b>"
        f"<pre><code>{escape(token.content)}</code></pre></div>"
    )
