"""Sharing a store with others."""
