"""What the terminal says of a decided audit: verdicts, what to beware of, a table, and the audit's own verdict."""

import sys
from shutil import get_terminal_size

from toxaudit.card import responsiveness, rules
from toxaudit.card.index import indexed
from toxaudit.card.terminal import statements, verdict_line
from toxaudit.cli.summary import table
from toxaudit.decision.verdict import of_audit
from toxaudit.errors import one_line, visible
from toxaudit.findings import AuditResult


def tell(result: AuditResult) -> None:
    """Print what was decided."""
    print()
    for verdict in result.verdicts:
        print(verdict_line(result, verdict))
    for notice in rules.notices(result):
        print(one_line(f"CAUTION: {notice}."))
    for notice in responsiveness.notices(indexed(result)):
        print(one_line(f"CAUTION: {notice}."))
    for each in result.skipped:
        print(one_line(f"NOT AUDITED: {each.name}. {each.reason}"))
    lines = statements(result)
    if len(lines) > len(result.verdicts):  # else the verdicts have said it
        print("\nCritical measures:\n  " + "\n  ".join(lines))
    if lines := table(result, get_terminal_size((0, 0)).columns if sys.stdout.isatty() else 0):
        print("", *lines, sep="\n")
    print(f"\nAudit '{visible(result.audit)}': {of_audit(result)}", flush=True)
