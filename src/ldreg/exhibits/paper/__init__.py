"""The paper's numbers and settings, and ours beside them."""

# What the folder config/paper holds; `ldreg.exhibits.paper.settings` and `.reported` alone read them.
SETTINGS_FILE, REPORTED_FILE = "settings.csv", "reported.csv"
