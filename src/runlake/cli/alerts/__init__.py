"""`runlake alerts …`: what fires, why, who was told, and what people do about it."""
