"""Bytes in, bytes out: JSON, npz, npy and PNG, each read with suspicion."""
