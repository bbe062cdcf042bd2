"""The form of the configuration: what a run and a scale file may say."""
