"""Runs blocks with dask; knows no biology."""
