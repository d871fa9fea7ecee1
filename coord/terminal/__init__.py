"""What the commands of this project share at a terminal: errors, numbers, tables, words.

A leaf: it knows nothing of clusters."""
