"""What any room may use: memory of answers, deadlines, limits, turns, followed files, certificates,
errors.
"""
