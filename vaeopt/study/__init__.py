"""Floor 4: study files, search spaces, storage, and the loop that drives Optuna."""
