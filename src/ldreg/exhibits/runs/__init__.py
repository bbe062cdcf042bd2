"""Run folders read as tables, and grouped by setting."""
