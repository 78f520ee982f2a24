"""The benchmarks; ``__main__`` tells what is measured and how to read it."""
