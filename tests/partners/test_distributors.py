"""Partners' distributors: the tree, and the line of sale that a batch gets, over gRPC and JSON."""

import asyncio
from typing import Any

import httpx2
import pytest
from deeptravel.ota.v1 import distributor_pb2
from deeptravel.ota.v1 import ota_service_pb2 as ota
from google.protobuf.field_mask_pb2 import FieldMask

from server.partners import distributors
from server.platform.errors import Reason
from tests.support.gate_server import GateServer
from tests.support.partner_client import CP, HK, Market, PartnerClient, request_id
from tests.support.rpc_server import refusal, refusal_or_none

ARCHIVED = distributor_pb2.DISTRIBUTOR_STATE_ARCHIVED


async def get(client: PartnerClient, distributor_id: str) -> distributor_pb2.GetDistributorResponse:
    request = distributor_pb2.GetDistributorRequest(distributor_id=distributor_id)
    return await client.stub.GetDistributor(request, metadata=client.metadata)


async def change(
    client: PartnerClient, distributor_id: str, *, version: int = 0, **fields: Any
) -> distributor_pb2.Distributor:
    request = distributor_pb2.UpdateDistributorRequest(
        distributor_id=distributor_id,
        update_mask=FieldMask(paths=list(fields)),
        version=version,
        request_id=request_id(),
        **fields,
    )
    answer = await client.stub.UpdateDistributor(request, metadata=client.metadata)
    return answer.distributor


async def archive(client: PartnerClient, distributor_id: str) -> distributor_pb2.Distributor:
    request = distributor_pb2.ArchiveDistributorRequest(
        distributor_id=distributor_id, request_id=request_id()
    )
    answer = await client.stub.ArchiveDistributor(request, metadata=client.metadata)
    return answer.distributor


async def listed(client: PartnerClient, **fields: Any) -> list[str]:
    found: list[str] = []
    token = ""
    while token or not found:
        request = distributor_pb2.ListDistributorsRequest(page_token=token, **fields)
        page = await client.stub.ListDistributors(request, metadata=client.metadata)
        found += [each.distributor_id for each in page.distributors]
        token = page.next_page_token
        if not token:
            break
    return found


async def line_of(client: PartnerClient, batch_id: str) -> list[tuple[str, int, list[int]]]:
    """Of each level: id, commission and the net prices."""
    request = ota.GetBatchRequest(batch_id=batch_id)
    batch = await client.stub.GetBatch(request, metadata=client.metadata)
    return [
        (
            level.distributor_id,
            level.commission_basis_points,
            [each.net_price_minor for each in level.amounts],
        )
        for level in batch.line_of_sale
    ]


async def why(call: Any) -> tuple[Reason, str]:
    refused = await refusal(call)
    return refused.reason, refused.metadata.get("why", "")


async def a_tree(client: PartnerClient) -> None:
    """North (5 %) with Shop (10 %), which has Kiosk (2 %); and South."""
    await client.distributor("North", commission_basis_points=500)
    await client.distributor("Shop", "North", commission_basis_points=1_000)
    await client.distributor("Kiosk", "Shop", commission_basis_points=200)
    await client.distributor("South", commission_basis_points=700)


async def test_a_distributor(client: PartnerClient, other_client: PartnerClient) -> None:
    made = (
        await client.distributor("D-1", display_name="  码头票务 ", commission_basis_points=850)
    ).distributor
    assert (made.distributor_id, made.display_name, made.level) == ("D-1", "码头票务", 1)
    assert (made.commission_basis_points, made.version) == (850, 1)
    assert made.state == distributor_pb2.DISTRIBUTOR_STATE_ACTIVE
    found = await get(client, "D-1")
    assert found.distributor == made
    assert [
        (level.distributor_id, level.commission_basis_points) for level in found.line_of_sale
    ] == [("D-1", 850)]
    assert (await why(client.distributor("D-1")))[0] is Reason.ALREADY_EXISTS
    # another partner's are not seen, and may have the same id
    assert (await refusal(get(other_client, "D-1"))).reason is Reason.NOT_FOUND
    await other_client.distributor("D-1")


async def test_the_tree(client: PartnerClient) -> None:
    await a_tree(client)
    assert await listed(client) == ["North", "South"]
    assert await listed(client, parent_distributor_id="North") == ["Shop"]
    everything = ["Kiosk", "North", "Shop", "South"]
    for size in (1, 3, 200):
        assert await listed(client, all_below=True, page_size=size) == everything
    assert await listed(client, parent_distributor_id="North", all_below=True) == ["Kiosk", "Shop"]
    assert await listed(client, parent_distributor_id="Kiosk", all_below=True) == []
    refused = await refusal(listed(client, parent_distributor_id="none"))
    assert refused.reason is Reason.NOT_FOUND
    kiosk = await get(client, "Kiosk")
    assert kiosk.distributor.level == 3
    assert [level.distributor_id for level in kiosk.line_of_sale] == ["North", "Shop", "Kiosk"]


async def test_no_circle_and_no_endless_line(market: Market, client: PartnerClient) -> None:
    """Seen red without the comparison with the parent's line, and without those of the depth."""
    await a_tree(client)
    for parent in ("North", "Shop", "Kiosk"):
        circle = change(client, "North", parent_distributor_id=parent)
        assert await why(circle) == (Reason.DISTRIBUTOR_REFUSED, "CIRCLE")
    parent = "Kiosk"
    for level in range(4, 9):
        await client.distributor(f"L{level}", parent)
        parent = f"L{level}"
    too_deep = client.distributor("L9", parent)
    assert await why(too_deep) == (Reason.DISTRIBUTOR_REFUSED, "TOO_DEEP")
    # with all that is below it a level deeper
    deeper = change(client, "North", parent_distributor_id="South")
    assert await why(deeper) == (Reason.DISTRIBUTOR_REFUSED, "TOO_DEEP")
    assert (await refusal(change(client, "L8", parent_distributor_id="none"))).reason is (
        Reason.NOT_FOUND
    )
    assert await market.value("SELECT max(cardinality(line)) FROM distributors") == 8


async def test_moved_with_all_below_it(market: Market, client: PartnerClient) -> None:
    """What was made before keeps its line, and is found under the old parent alone."""
    await a_tree(client)
    before = await client.batch(2, distributor_id="Kiosk")
    moved = await change(client, "Shop", parent_distributor_id="South")
    assert (moved.level, moved.version) == (2, 2)
    after = await client.batch(1, distributor_id="Kiosk")
    assert [each[0] for each in await line_of(client, before.batch_id)] == [
        *("North", "Shop", "Kiosk")
    ]
    assert await line_of(client, after.batch_id) == [
        ("South", 700, [9_720]),
        ("Shop", 1_000, [10_560]),
        ("Kiosk", 200, [11_760]),
    ]
    codes = [[each.ticket_code for each in batch.tickets] for batch in (before, after)]
    assert await client.listed(distributor_id="North") == codes[0]
    assert await client.listed(distributor_id="South") == codes[1]
    assert await client.listed(distributor_id="Shop") == codes[0] + codes[1]
    await change(client, "Shop", parent_distributor_id="")
    assert [level.distributor_id for level in (await get(client, "Kiosk")).line_of_sale] == [
        *("Shop", "Kiosk")
    ]


async def test_no_line_keeps_more_than_the_price(client: PartnerClient) -> None:
    """Whichever of its levels changes. Seen red without the look at those below."""
    await a_tree(client)
    too_high = (Reason.DISTRIBUTOR_REFUSED, "COMMISSION_TOO_HIGH")
    assert await why(change(client, "North", commission_basis_points=8_801)) == too_high
    await change(client, "North", commission_basis_points=8_800)
    assert await why(change(client, "Kiosk", commission_basis_points=201)) == too_high
    new = client.distributor("Stand", "Kiosk", commission_basis_points=1)
    assert await why(new) == too_high
    await client.distributor("Stand", "Kiosk", commission_basis_points=0)
    await change(client, "South", commission_basis_points=8_801)
    assert await why(change(client, "Shop", parent_distributor_id="South")) == too_high


async def test_archived_ones_keep_nothing_from_those_above(client: PartnerClient) -> None:
    """Nothing is sold through them any more. Seen red: the most that an archived one had kept was
    for ever kept from those above it, and could not be changed.
    """
    await client.distributor("Top")
    await client.distributor("Seller", "Top", commission_basis_points=6_000)
    raise_it = {"commission_basis_points": 5_000}
    refused = await why(change(client, "Top", **raise_it))
    assert refused == (Reason.DISTRIBUTOR_REFUSED, "COMMISSION_TOO_HIGH")
    await archive(client, "Seller")
    assert (await change(client, "Top", **raise_it)).commission_basis_points == 5_000


async def test_two_changes_at_once_break_no_line(market: Market, client: PartnerClient) -> None:
    """Seen red without the partner's lock: both see room for their own."""
    for attempt in range(5):
        top, seller = f"top-{attempt}", f"seller-{attempt}"
        await client.distributor(top)
        await client.distributor(seller, top)
        await asyncio.gather(
            *(
                refusal_or_none(change(client, each, commission_basis_points=6_000))
                for each in (top, seller)
            )
        )
        kept = "SELECT sum(commission_basis_points) FROM distributors WHERE %s = ANY(line)"
        assert await market.value(kept, top) == 6_000


async def test_a_change_of_what_somebody_has_seen(client: PartnerClient) -> None:
    await client.distributor("D")
    first = await change(client, "D", version=1, display_name="One")
    assert (first.version, first.display_name, first.commission_basis_points) == (2, "One", 0)
    refused = await refusal(change(client, "D", version=1, display_name="Two"))
    assert refused.reason is Reason.VERSION_MISMATCH
    assert refused.metadata == {"resource": "distributor", "name": "D", "version": "2"}
    assert (await change(client, "D", display_name="Two")).version == 3
    for paths in ([], ["version"], ["distributor_id"], ["display_name"]):
        wrong = distributor_pb2.UpdateDistributorRequest(
            distributor_id="D", update_mask=FieldMask(paths=paths), request_id=request_id()
        )
        found = await refusal(client.call("UpdateDistributor", wrong))
        assert found.reason is Reason.INVALID_FIELD


async def test_nothing_new_through_an_archived_one(client: PartnerClient) -> None:
    await a_tree(client)
    below = await why(archive(client, "Shop"))
    assert below == (Reason.DISTRIBUTOR_REFUSED, "ACTIVE_BELOW")
    codes = await client.codes(2, distributor_id="Kiosk")
    assert (await archive(client, "Kiosk")).state == ARCHIVED
    assert (await archive(client, "Kiosk")).version == 2
    archived = (Reason.DISTRIBUTOR_REFUSED, "ARCHIVED")
    assert await why(client.batch(1, distributor_id="Kiosk")) == archived
    assert await why(client.reassign(codes[:1], "Kiosk")) == archived
    assert await why(client.distributor("Stand", "Kiosk")) == archived
    assert await why(change(client, "Kiosk", display_name="x")) == archived
    await client.activate(codes[0])
    await client.cancel(codes[1:])
    assert await listed(client, all_below=True, state=ARCHIVED) == ["Kiosk"]


async def test_the_line_of_a_batch_stays(market: Market, client: PartnerClient) -> None:
    """Whatever becomes of the commissions. Of 120.00 the shop keeps 10 %, North 5 %."""
    await a_tree(client)
    batch = await client.batch(3, distributor_id="Shop")
    line = [("North", 500, [10_200]), ("Shop", 1_000, [10_800])]
    assert await line_of(client, batch.batch_id) == line
    await change(client, "Shop", commission_basis_points=2_000)
    assert await line_of(client, batch.batch_id) == line
    later = await client.batch(1, distributor_id="Shop")
    assert await line_of(client, later.batch_id) == [
        ("North", 500, [9_000]),
        ("Shop", 2_000, [9_600]),
    ]
    assert await line_of(client, (await client.batch(1)).batch_id) == []


async def test_free_text_goes_on_as_before(market: Market, client: PartnerClient) -> None:
    """A distributor that is not in the tree sells for the partner itself and keeps nothing; when it
    comes into the tree, what it has stays so.
    """
    before = await client.batch(2, distributor_id="D-7")
    assert await line_of(client, before.batch_id) == [("D-7", 0, [12_000])]
    assert (await refusal(get(client, "D-7"))).reason is Reason.NOT_FOUND
    await client.distributor("North", commission_basis_points=500)
    await client.distributor("D-7", "North", commission_basis_points=1_000)
    after = await client.batch(1, distributor_id="D-7")
    assert await line_of(client, before.batch_id) == [("D-7", 0, [12_000])]
    assert [each[0] for each in await line_of(client, after.batch_id)] == ["North", "D-7"]
    codes = [[each.ticket_code for each in batch.tickets] for batch in (before, after)]
    assert await client.listed(distributor_id="D-7") == codes[0] + codes[1]
    assert await client.listed(distributor_id="North") == codes[1]


async def test_batches_of_before_the_upgrade(market: Market, client: PartnerClient) -> None:
    """Their snapshots say nothing of a line."""
    batch = await client.batch(2, distributor_id="D-7")
    await market.sql("UPDATE snapshots SET content = content - 'line_of_sale'")
    assert await line_of(client, batch.batch_id) == []
    codes = [each.ticket_code for each in batch.tickets]
    assert await client.listed(distributor_id="D-7") == codes
    await client.distributor("D-8", commission_basis_points=100)
    await client.reassign(codes[:1], "D-8")
    await client.activate(codes[1])
    assert await client.listed(distributor_id="D-8") == codes[:1]


async def test_every_change_is_audited(market: Market, client: PartnerClient) -> None:
    await client.distributor("D", commission_basis_points=100)
    await change(client, "D", commission_basis_points=200)
    await archive(client, "D")
    rows = await market.sql(
        "SELECT actor, action, name, after ->> 'commission_basis_points' FROM audit_events"
        " WHERE resource = 'distributor' ORDER BY occurred_time"
    )
    assert rows == [
        ("partner:CP", "create", "CP/D", "100"),
        ("partner:CP", "update", "CP/D", "200"),
        ("partner:CP", "archive", "CP/D", "200"),
    ]


async def test_no_more_than_so_many(client: PartnerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributors, "MAX_DISTRIBUTORS", 2)
    await client.distributor("A")
    await client.distributor("B")
    too_many = (Reason.DISTRIBUTOR_REFUSED, "TOO_MANY")
    assert await why(client.distributor("C")) == too_many


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"distributor_id": ""}, "distributor_id"),
        ({"distributor_id": "x" * 65}, "distributor_id"),
        ({"distributor_id": "a\u202eb"}, "distributor_id"),
        ({"display_name": " "}, "display_name"),
        ({"commission_basis_points": 10_001}, "commission_basis_points"),
        ({"commission_basis_points": -1}, "commission_basis_points"),
    ],
)
async def test_wrong_fields(client: PartnerClient, fields: dict[str, Any], field: str) -> None:
    values: Any = {"distributor_id": "D", "display_name": "D", "request_id": "r"} | fields
    request = distributor_pb2.CreateDistributorRequest(**values)
    refused = await refusal(client.call("CreateDistributor", request))
    assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, (field,))


async def test_over_json(client: PartnerClient, ota_server: GateServer) -> None:
    base = f"http://127.0.0.1:{ota_server.app.http_port}"
    headers = {"x-api-key": CP.api_key}
    async with httpx2.AsyncClient(base_url=base, headers=headers, trust_env=False) as http:
        body = {"distributor_id": "北/1", "display_name": "North", "request_id": "j-1"}
        made = await http.post("/ota/distributors", json=body)
        assert made.status_code == 200, made.text
        assert made.json()["distributor"]["distributor_id"] == "北/1"
        path = "/ota/distributors/%E5%8C%97%2F1"
        patch = {
            "commission_basis_points": 250,
            "update_mask": "commission_basis_points",
            "version": "1",
            "request_id": "j-2",
        }
        changed = await http.patch(path, json=patch)
        assert changed.status_code == 200, changed.text
        stale = await http.patch(path, json=patch | {"request_id": "j-3"})
        assert stale.json()["details"][0]["reason"] == "VERSION_MISMATCH"
        found = (await http.get(path)).json()
        assert found["line_of_sale"][0]["commission_basis_points"] == 250
        assert found["distributor"]["version"] == "2"
        shown = (await http.get("/ota/distributors?all_below=true&state=ACTIVE")).json()
        assert [each["distributor_id"] for each in shown["distributors"]] == ["北/1"]
        archived = await http.post(f"{path}/archive", json={"request_id": "j-4"})
        assert archived.json()["distributor"]["state"] == "ARCHIVED"
        foreign = await http.get(path, headers={"x-api-key": HK.api_key})
        assert foreign.status_code == 404
