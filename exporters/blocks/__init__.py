"""What families are built of: layers, attention, positions. Knows no family."""
