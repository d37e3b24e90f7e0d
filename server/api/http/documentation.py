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

from server.api.http.openapi import STYLE

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererHTML
    from markdown_it.token import Token

INDEX = "index"
COLLECTION = "partner.postman_collection.json"
SCRIPT = resources.files("server.api.http").joinpath("documentation.js")
MORE_STYLE = """
body > nav { font-size: 14px; margin-bottom: 1.5rem }
nav a, main a { color: var(--post) }
main li { margin: .2rem 0 }
th { text-align: left; padding: .3rem .8rem .3rem 0 }
main td:nth-child(2) { min-width: 6rem } main td:last-child { width: auto }
.example { position: relative; margin: .5rem 0 }
.example > b { display: block; font-size: .75rem; color: var(--soft); margin: .6rem 0 .1rem }
.example button { font-size: 12px; margin: .3rem .4rem 0 0 }
.example output { display: block; white-space: pre-wrap; font: 13px/1.5 ui-monospace, monospace }
"""
LANGUAGES = {"python": "Python", "java": "Java", "json": "JSON", "ts": "TypeScript", "go": "Go"}
COMMANDS = {"curl": "curl", "grpcurl": "grpcurl"}


@dataclass(frozen=True)
class Documentation:
    """All pages.

    Attributes:
        pages: title and Markdown by path below /docs; `index` is /docs itself.
    """

    pages: Mapping[str, Mapping[str, str]]

    def markdown(self, name: str) -> str | None:
        """A page as it is written; None if there is none."""
        page = self.pages.get(name)
        return None if page is None else page["markdown"]

    def html(self, name: str) -> str | None:
        """A page as a browser shows it; None if there is none."""
        page = self.pages.get(name)
        return None if page is None else _html(page["title"], name, page["markdown"])

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
def documentation() -> Documentation:
    """As the contract was when the code was generated."""
    text = resources.files("deeptravel").joinpath("documentation.json").read_bytes()
    return Documentation(json.loads(text)["pages"])


def collection() -> bytes:
    """The calls of partners for Postman."""
    return resources.files("deeptravel").joinpath(COLLECTION).read_bytes()


def script() -> bytes:
    """What the pages run."""
    return SCRIPT.read_bytes()


def _path(name: str) -> str:
    return "/docs" if name == INDEX else f"/docs/{name}"


def _html(title: str, name: str, markdown: str) -> str:
    body = _renderer().render(markdown)
    key = (
        "<p>Key or token for tries, kept in this page alone:"
        " <input id='secret' type='password' autocomplete='off'></p>"
        if "curl" in markdown
        else ""
    )
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{STYLE}{MORE_STYLE}</style>"
        f"<nav><a href='/docs'>DeepTravel Ticketing</a> · <a href='/docs/reasons'>reasons</a>"
        f" · <a href='/docs/reference'>reference</a>"
        f" · <a href='{escape(_path(name))}.md'>this page as Markdown</a></nav>"
        f"{key}<main>{body}</main><script src='/docs/documentation.js'></script></html>"
    )


@functools.cache
def _renderer() -> "MarkdownIt":
    from markdown_it import MarkdownIt  # loaded by the first page that a browser asks for

    made = MarkdownIt("commonmark", {"html": False}).enable("table")
    made.add_render_rule("heading_open", _heading)
    made.add_render_rule("fence", _fence)
    return made


def _heading(_self: "RendererHTML", tokens: list["Token"], index: int, *_more: Any) -> str:
    """With an id to be linked to: its text, as links write it."""
    words = re.sub(r"[^\w ]", "", tokens[index + 1].content).strip().lower().replace(" ", "-")
    return f"<{tokens[index].tag} id='{escape(words)}'>"


def _fence(_self: "RendererHTML", tokens: list["Token"], index: int, *_more: Any) -> str:
    """With what it is written in, for the buttons of the script."""
    token = tokens[index]
    first = token.content.split(maxsplit=1)[0] if token.content.strip() else ""
    label = COMMANDS.get(first) or LANGUAGES.get(token.info.strip(), "")
    return (
        f"<div class='example' data-kind='{escape(label)}'><b>{escape(label)}</b>"
        f"<pre><code>{escape(token.content)}</code></pre></div>"
    )
