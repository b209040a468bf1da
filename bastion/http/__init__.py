"""· HTTP's own words: fields, their values, authorities."""
