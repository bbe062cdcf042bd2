"""How exhibits are written: labels, markup, figure style."""
