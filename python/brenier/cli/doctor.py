"""brenier doctor: what is here, what is used, and why."""

from __future__ import annotations

from brenier.cli.common import command, emit


@command("""
    brenier doctor
    brenier doctor --json
""")
def doctor(as_json: bool, quiet: bool) -> None:  # noqa: ARG001
    """Say which versions, engines and optional packages are here, what would be used, and why."""
    from brenier.report.doctor import as_text, examine

    findings = examine()
    emit(as_json, findings, as_text(findings))
