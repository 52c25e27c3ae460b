"""One vendor each; adding the file is the whole registration."""
