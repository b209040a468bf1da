"""· In which order are endpoints tried?"""
