"""Further questions that an audit can ask of the same arms and answers; none of them decides.

Those of ``groups`` are computed from the estimates, and again from a finished run; those of ``models`` load the arms.
To add one: a module with a registered class, whose method ``analyse`` takes an audit's evidence, and an import of it in
``compose/catalogue.py``. Nothing is imported here, so that a finished run is read without what loads models.
"""
