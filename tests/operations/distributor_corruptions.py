"""Rows of partners' distributors that contradict others: see test_invariants.py."""

OF_SHOP = "'{line_of_sale,0,amounts,0,net_price_minor}'"
OF_DISTRIBUTORS = [
    (
        "distributor-lines",
        """
UPDATE distributors SET line = ARRAY['OTHER', 'SHOP'], parent_distributor_id = 'OTHER'
WHERE distributor_id = 'SHOP'
""",
    ),
    (
        "distributor-lines",
        "UPDATE distributors SET commission_basis_points = 9700 WHERE distributor_id = 'SHOP'",
    ),
    ("lines-of-sale", f"UPDATE snapshots SET content = jsonb_set(content, {OF_SHOP}, '1')"),
    (
        "lines-of-sale",
        f"""
UPDATE snapshots SET content = jsonb_set(content, {OF_SHOP.replace("sale,0", "sale,1")}, '7')
WHERE jsonb_array_length(content -> 'line_of_sale') = 2
""",
    ),
    (
        "sellers",
        "UPDATE tickets SET distributor_id = 'WHOLESALE' WHERE distributor_id = 'SHOP'",
    ),
    ("sellers", "DELETE FROM distributor_batches WHERE distributor_id = 'in free text'"),
]
