"""Programs that show what the store is for."""
