#!/usr/bin/env python
"""Commands of a checkout: python manage.py --help."""

from fmd_admin.cli import manage

if __name__ == "__main__":
    manage()
