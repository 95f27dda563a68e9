"""One module a store group that is filled: its blocks, and how one block is read, computed and written."""
