"""What a fit minimises: one small file per objective, named after what it is and where it comes from."""
