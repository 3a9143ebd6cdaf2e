"""Speech segments -> what was said in them, and by whom."""
