"""Some answers of a finished run, put before people who don't know which model wrote them."""
