"""A small outdoor shop: an ordinary Flask app that fmd_admin measures in the demo.

Only :mod:`examples.shop.wsgi` knows fmd_admin; the shop itself does not.
"""
