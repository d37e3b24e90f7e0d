"""What a browser is shown: the documentation, the OpenAPI document, whether the server is well."""

import functools
from collections.abc import Callable

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from server.api.health import Report
from server.api.http import openapi
from server.api.http.documentation import (
    COLLECTION,
    INDEX,
    STATIC,
    Documentation,
    collection,
    documentation,
    framed,
    static,
)

PATHS = frozenset({"/", "/docs", "/docs.md", "/healthz", "/llms.txt", "/openapi.json"})
BELOW = "/docs/"
MARKDOWN = "text/markdown"
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {"content-security-policy": POLICY, "x-content-type-options": "nosniff"}


def is_page(path: str) -> bool:
    """Whether a path is one of these, and no call."""
    path = path.rstrip("/") or "/"
    return path in PATHS or path.startswith(BELOW)


def routes(health: Callable[[], Report], offered_key: str = "") -> list[Route]:
    """All pages; `health` is what `/healthz` tells, with 200 or 503, `offered_key` the sandbox key
    that the documentation offers for trying calls.
    """
    document = openapi.document()
    pages = documentation(offered_key)

    @functools.cache
    def reference() -> str:  # when it is asked for
        described = orjson.loads(document)
        return framed("Reference", "/docs/reference", openapi.page(described))

    async def show_health(_request: Request) -> Response:
        report = health()
        headers = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
        content = orjson.dumps(report.content)
        return Response(content, report.http_status, headers, media_type="application/json")

    async def show_document(_request: Request) -> Response:
        return Response(document, media_type="application/json")

    async def show_reference(_request: Request) -> Response:
        return HTMLResponse(reference(), headers=HEADERS)

    async def show_page(request: Request) -> Response:
        return _documented(pages, request.path_params.get("name", INDEX))

    async def show_markdown(_request: Request) -> Response:
        return _documented(pages, f"{INDEX}.md")

    async def show_list(_request: Request) -> Response:
        return PlainTextResponse(pages.llms(), headers=HEADERS)

    return [
        Route("/", _show_root),
        Route("/docs", show_page),
        Route("/docs.md", show_markdown),
        Route("/docs/reference", show_reference),
        *(Route(f"/docs/{name}", _show_static) for name in STATIC),
        Route(f"/docs/{COLLECTION}", _show_collection),
        Route("/docs/{name:path}", show_page),
        Route("/healthz", show_health),
        Route("/llms.txt", show_list),
        Route("/openapi.json", show_document),
    ]


async def _show_root(_request: Request) -> Response:
    return RedirectResponse("/docs")


async def _show_static(request: Request) -> Response:
    name = request.url.path.rpartition("/")[2]
    return Response(static(name), media_type=STATIC[name], headers=HEADERS)


async def _show_collection(_request: Request) -> Response:
    return Response(collection(), media_type="application/json", headers=HEADERS)


def _documented(pages: Documentation, name: str) -> Response:
    """A page, or with `.md` its Markdown. Raises HTTPException."""
    if name.endswith(".md"):
        text = pages.markdown(name.removesuffix(".md"))
        if text is not None:
            return PlainTextResponse(text, headers=HEADERS, media_type=MARKDOWN)
    elif (html := pages.html(name.rstrip("/"))) is not None:
        return HTMLResponse(html, headers=HEADERS)
    raise HTTPException(404)
