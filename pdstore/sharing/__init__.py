"""Share a store: publish it, hold a copy against its manifest, look at it in a browser."""
