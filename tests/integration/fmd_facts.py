"""What the app with Flask-MonitoringDashboard is made of; known to both of its sides."""

LEVELS = {"off": 0, "quick": 1, "failing": 1, "checkout": 1, "slow": 2, "profiled": 3}
SECRETS = ("token-of-the-client", "secret-in-the-url", "secret-in-a-message")
ADMIN = ("olga", "olgas password")
USERS = (("victor", "victors password"), ("guest", "guest"))
