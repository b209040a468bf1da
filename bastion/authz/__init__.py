"""Is a request allowed?"""
