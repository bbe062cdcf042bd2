"""All exhibits of a scale as one static page, `results/<scale>/index.html`, and a picture of it."""
