"""Ctrip, Booking.com and Expedia as seed 003 describes them, simulated: no account is needed.

It shares no code with the server, so that each proves the other.
"""
