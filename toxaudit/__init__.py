"""toxaudit: is a fine-tuned language model less safe than its base, where, by how much, and how sure are we?"""

__version__ = "0.1.0"
