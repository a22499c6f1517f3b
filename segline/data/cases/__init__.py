"""Cases on the plan's grid, kept by content: built once, opened as often as needed, cleared away."""
