"""What data sets hold, and where they and a config disagree."""
