"""Who works on a study: workers, their signs of life, and how they share devices."""
