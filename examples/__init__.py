"""Programs that use fmd_admin. They are part of the checkout, not of the package."""
