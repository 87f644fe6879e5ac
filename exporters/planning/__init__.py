"""From what a user named to a plan: tensors, the graph that uses them, the small files. Writes nothing."""
