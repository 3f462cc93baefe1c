"""What is tried next: the samplers, one question at a time, points and their repeats."""
