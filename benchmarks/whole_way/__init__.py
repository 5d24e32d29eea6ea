"""Parts of the benchmark that judges policies of the demo store by a log, the whole way."""
