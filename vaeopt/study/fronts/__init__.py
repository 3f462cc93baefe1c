"""What is best of several objectives: fronts, hypervolumes, preferences."""
