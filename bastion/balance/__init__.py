"""Which of several endpoints?"""
