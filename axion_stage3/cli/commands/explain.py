"""``axion-stage3 explain``: what a finding means."""

from __future__ import annotations

from axion_stage3.cli import inspection_options, options


def explain(
    finding_ids: inspection_options.FindingIds = None,
    json_document: options.Json = False,
) -> None:
    """Explain findings: what was measured, what it means, what to do.

    For example:

      axion-stage3 explain AX-T007
      axion-stage3 explain
    """
    from dataclasses import asdict

    from axion_stage3.cli.explanation_report import catalogue_text, explanation_text
    from axion_stage3.cli.output import Output
    from axion_stage3.inspection.explanation import explain_findings

    output = Output()
    document = explain_findings(tuple(finding_ids or ()))
    if json_document:
        output.document(asdict(document))
    elif finding_ids:
        output.data(explanation_text(document))
    else:
        output.data(catalogue_text(document))
