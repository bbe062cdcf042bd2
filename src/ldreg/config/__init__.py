"""Pydantic models of the configuration: the settings of a run and of a scale file."""
