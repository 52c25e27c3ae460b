"""Looking by hand: `runs`, `pipelines`, `top`, and `export` for what is to be looked at elsewhere. All of them read the
published copy alone."""
