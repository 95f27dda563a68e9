"""The layout of the store, one JSON file a group: read by pdstore.schema."""
