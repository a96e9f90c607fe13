"""What the torch engine is made of: batch buckets, fixed buffers, programs captured into CUDA graphs, streams.

Imported only where a device other than the CPU is asked for.
"""
