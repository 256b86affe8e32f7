"""Where a result goes and how it gets there: whole or not at all, labelled, never over acquired data."""
