"""Our own statistics put to the test: simulated worlds of known truth, and whether what toxaudit says of them is right.

``study.run`` repeats every study and writes ``calibration.md`` with its tables and plots. ``worlds.py`` makes the
worlds, ``findings.py`` holds what a study found, ``page.py`` writes it down; each other module is one theme. Estimators
and gate are the ones that audits use; where a study needs more posteriors than these can make in minutes, its quicker
form is checked against them.
"""
