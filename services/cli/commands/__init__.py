"""One module per verb or noun that a person types after ``runyard``."""
