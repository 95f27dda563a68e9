"""Arrays to statistics: pure functions of NumPy arrays, which know of no store, no model and no scheduler."""
