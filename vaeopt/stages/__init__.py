"""Floor 2: the verbs of the flow, one folder per step; siblings never import each other."""
