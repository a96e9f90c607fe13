"""What the torch engine is made of: batch buckets, static buffers, programs captured into CUDA graphs, streams.

Imported only where a device other than the CPU is asked for, but for `buckets` and `packing`, which know no torch.
"""
