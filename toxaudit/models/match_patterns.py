"""Matches an adapter's patterns with names of modules; run as a script, lest a hostile pattern go on for ever."""

import json
import re
import sys


def main() -> None:
    """Read patterns and names from standard input; raise where a pattern is none."""
    work = json.load(sys.stdin)
    for pattern in work["patterns"]:
        compiled = re.compile(pattern)
        for name in work["names"]:
            compiled.fullmatch(name)
    json.dump(None, sys.stdout)


if __name__ == "__main__":
    main()
