"""The flows core beside zuko, nflows and FrEIA on one configuration, ratios within one run."""
