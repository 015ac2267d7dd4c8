"""A small shop: the example app of pytest-fastr, and an ordinary FastAPI app in every other respect."""
