"""HTML that is safe by construction, and how figures are worded in it."""
