"""What runs on an accelerator, checked against float64 on the CPU and measured beside its floor."""
