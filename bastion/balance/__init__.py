"""· Which of several endpoints?"""
