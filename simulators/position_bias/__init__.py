"""Position bias told apart from relevance: by items that moved, by features, and what a log leaves open."""
