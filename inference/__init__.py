"""A loaded version answers arrays: engines, seeds, estimators."""
