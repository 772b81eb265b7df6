"""Small applications built on what others have made, to bind fmd_admin to: see compare.py."""
