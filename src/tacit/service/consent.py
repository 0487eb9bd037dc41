"""Consent: the client compares what a plan and its parties would learn with its own policy, before its first byte."""

from __future__ import annotations

from pathlib import Path

from tacit.errors import NotPermitted
from tacit.net.keys import peers
from tacit.plan.plan import Plan
from tacit.plan.policy import ClientPolicy
from tacit.run.dealing import NOBODY

__all__ = ["check_dealer", "check_plan"]


def check_plan(plan: Plan, server: str, policy: ClientPolicy) -> None:
    """NotPermitted if the plan discloses more than `policy` accepts, as derived here from the plan's own steps."""
    if policy.plans and plan.digest not in policy.plans:
        raise NotPermitted(f"the server's plan {plan.digest[:16]}… is not one that your policy accepts")
    if policy.servers and server not in policy.servers:
        raise NotPermitted(f"the server {server[:16]}… is not one that your policy accepts")
    used = sorted({step.protocol for step in plan.steps})
    refused = [name for name in used if name not in policy.protocols]
    if refused:
        exposes = " It would show your input to the server." if plan.disclosure.exposes_input else ""
        accepted = ", ".join(policy.protocols)
        raise NotPermitted(f"the plan uses the protocol {', '.join(refused)}, your policy accepts {accepted}.{exposes}")
    if plan.settings.get("ranges") != "proven" and not policy.calibrated:
        raise NotPermitted("the plan's ranges are only calibrated; your policy accepts proven ranges alone")


def check_dealer(home: Path, dealer: str, server: str, policy: ClientPolicy) -> None:
    """NotPermitted unless the dealer is one this client knows and is not the server itself."""
    if dealer == server and server != NOBODY:
        raise NotPermitted("the server is its own dealer, so it could see your input; ask for an independent dealer")
    if policy.dealers:
        known = set(policy.dealers)
    elif server == NOBODY:
        return
    else:
        known = {certificate.fingerprint for certificate in peers(home)}
    if dealer not in known:
        raise NotPermitted(
            f"the dealer {dealer[:16] or '(none)'}… is not one that this client knows; enrol its certificate if "
            f"you trust it"
        )
