"""What an audit file may say, and what is refused."""
