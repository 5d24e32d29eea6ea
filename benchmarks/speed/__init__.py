"""What the speed benchmarks share: the worlds they run in, the clock they are timed by, the opponent."""
