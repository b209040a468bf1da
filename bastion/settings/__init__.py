"""What was asked for, checked as a whole: a file per section."""
