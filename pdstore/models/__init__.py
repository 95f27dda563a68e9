"""Sequence to tracks: the protocol, the registry and the models; knows no Zarr and no dask."""
