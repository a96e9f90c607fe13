"""The same flow behind condflow and its peers, one command, one machine, ratios within one run."""
