"""The pages of the documentation, over HTTP."""

from collections.abc import AsyncIterator

import pytest_asyncio
from deeptravel.redemption.v1 import redemption_service_pb2

from tests.support import probe
from tests.support.probe import Setup

REDEMPTION = redemption_service_pb2.DESCRIPTOR.services_by_name["RedemptionService"]


@pytest_asyncio.fixture
async def setup() -> AsyncIterator[Setup]:
    async with probe.running(REDEMPTION) as running:
        yield running


async def test_the_documentation(setup: Setup) -> None:
    """A page for each reader and reason, its Markdown beside it, and the list for programs."""
    get = setup.client.get
    start = await get("/docs")
    assert start.status_code == 200
    assert "What are you?" in start.text
    policy = start.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "http" not in policy
    for name in ("partner", "reasons/SOLD_OUT", "guides/first-call"):
        page = await get(f"/docs/{name}")
        assert page.headers["content-type"].startswith("text/html")
        markdown = await get(f"/docs/{name}.md")
        assert markdown.headers["content-type"].startswith("text/markdown")
        title = markdown.text.splitlines()[0].removeprefix("# ")
        assert f">{title}</h1>" in page.text
    assert (await get("/docs.md")).text.startswith("# ")
    assert "/docs/partner.md" in (await get("/llms.txt")).text
    script = await get("/docs/documentation.js")
    assert script.headers["content-type"].startswith("text/javascript")
    own = "http://127.0.0.1:8080".replace(".", r"\.").replace("/", r"\/")
    assert "http" not in script.text.replace("https?", "").replace("HTTP", "").replace(own, "")
    style = await get("/docs/documentation.css")
    assert style.headers["content-type"].startswith("text/css")
    assert "unsafe" not in policy
    unknown = await get("/docs/nothing")
    assert unknown.status_code == 404
    assert unknown.json()["details"][0]["reason"] == "NOT_FOUND"
    assert (await setup.client.post("/docs/partner")).status_code == 405
