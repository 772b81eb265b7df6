"""Measurements of what fmd_admin costs; run by hand, never by the tests."""
