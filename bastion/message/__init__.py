"""· HTTP surgery: header fields in, header fields out.

A field is (lower-case name, name as written, value).
"""
