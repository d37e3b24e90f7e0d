"""Texts of codes."""

OURS = ":".join(("A" * 23, "B" * 48, "C" * 26, "D" * 103))
OTHER_OF_OURS = ":".join(("A" * 23, "E" * 48, "C" * 26, "D" * 103))
PAYMENT = "134567890123456789"
BOARDING = "M1DESMARAIS/LUC       EABC123 YULFRAAC 0834 226F001A0025 100"
IDENTITY = "11010519491231002X"  # the example of GB 11643
FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
