"""What the benchmarks of relevance models share."""
