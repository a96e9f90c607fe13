"""The same flow behind other servers, each as its own documentation advises; they run in their own environment."""
