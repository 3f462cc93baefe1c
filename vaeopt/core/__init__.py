"""Floor 0: errors, data types, settings and seeds that every other floor stands on."""
