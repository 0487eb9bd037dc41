"""A home: the folder in which one party keeps its certificate, its peers, its store and its registrations."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from tacit.corr.disk import DiskStore
from tacit.corr.registration import Kind, Registration, Registrations
from tacit.errors import InvalidFile, InvalidInput
from tacit.plan.plan import Plan
from tacit.plan.save import load_plan, save_public

__all__ = ["Home", "registration_for"]

_GIB = 1 << 30


@dataclass(frozen=True)
class Home:
    """`path` holds: the identity and peers/ (net.keys), store/, registrations/, plans/ (public halves by digest)."""

    path: Path

    @classmethod
    def at(cls, path: str | Path) -> Home:
        """The home at `path`, made if it is not there (mode 0700)."""
        folder = Path(path).expanduser()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (folder / "plans").mkdir(exist_ok=True)
        except OSError as error:
            raise InvalidInput(f"the home {folder} cannot be used: {error.strerror}") from error
        return cls(folder)

    def store(self, quota_gib: float = 64.0) -> DiskStore:
        """This home's store of material."""
        return DiskStore(self.path / "store", int(quota_gib * _GIB))

    def registrations(self) -> Registrations:
        """This home's registrations."""
        return Registrations(self.path / "registrations")

    def keep_plan(self, plan: Plan) -> None:
        """Keep the public half of a plan."""
        save_public(plan.public(), self.plan_path(plan.digest))

    def plan_path(self, digest: str) -> Path:
        """Where the plan of this digest is kept."""
        return self.path / "plans" / f"{digest}.tacit"

    def plan(self, digest: str) -> Plan | None:
        """The kept plan of this digest, or None."""
        path = self.plan_path(digest)
        if not path.is_file():
            return None
        plan = load_plan(path)
        if plan.digest != digest:
            raise InvalidFile(f"{path} holds another plan than its name says; delete it")
        return plan

    def plans(self) -> list[Plan]:
        """Every kept plan."""
        return [load_plan(path) for path in sorted((self.path / "plans").glob("*.tacit"))]


def registration_for(kind: Kind, plan: Plan, peer: str) -> Registration:
    """The terms under which this home registers `plan` with `peer`; its id follows from plan and peer alone, so that
    other weights under the same id are found out."""
    name = hashlib.sha256(f"tacit registration 1 {kind} {plan.digest} {peer}".encode()).digest()[:16]
    return Registration(name, kind, plan.digest, plan.commitment, peer, bytes.fromhex(plan.salt))
