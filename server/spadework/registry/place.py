"""The registry's folder: where its files lie, that only their owner reads them, and what kind of disk it is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from spadework_tools.errors import BadHome

#: File systems on which SQLite's shared memory does not hold between hosts.
# fmt: off
NETWORK = frozenset({
    "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "fuse.cephfs", "fuse.davfs2", "fuse.gcsfuse", "fuse.glusterfs",
    "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2",
    "orangefs", "smb3", "smbfs",
})
# fmt: on


@dataclass(frozen=True, slots=True)
class Place:
    """The paths of one registry. The database's own log files stand beside it."""

    folder: Path

    @property
    def database(self) -> Path:
        """The SQLite file that holds everything; its name is diskcache's."""
        return self.folder / "cache.db"

    @property
    def log(self) -> Path:
        """SQLite's write-ahead log."""
        return self.folder / "cache.db-wal"

    @property
    def gate(self) -> Path:
        """The writers' lock file."""
        return self.folder / ".gate"

    @property
    def marker(self) -> Path:
        """Says that a registry was begun here, and whether it was completed."""
        return self.folder / ".created"

    @property
    def workers(self) -> Path:
        """The folder of the workers' lock files."""
        return self.folder / "workers"

    @property
    def writable(self) -> bool:
        """Whether this process may write here."""
        return all(os.access(path, os.W_OK) for path in (self.folder, self.database) if path.exists())

    def make(self) -> None:
        """Make the folders, open to their owner alone whatever the umask is. Raises OSError."""
        self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.folder, self.workers):
            folder.mkdir(mode=0o700, exist_ok=True)
            mode = folder.stat().st_mode & 0o777
            # Only ever tightened: a folder that its owner made read-only stays so.
            if mode & 0o077:
                folder.chmod(mode & 0o700)

    def shut(self) -> None:
        """Make the database's files readable to their owner alone."""
        for path in (self.database, self.log, self.folder / "cache.db-shm"):
            if path.exists() and path.stat().st_mode & 0o777 != 0o600:
                path.chmod(0o600)

    def mark(self, state: str) -> None:
        """Write the marker, safe against a power cut."""
        fresh = self.folder / ".created.new"
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(fd, 0o600)
            os.write(fd, state.encode("ascii"))
            os.fsync(fd)
        finally:
            os.close(fd)
        fresh.replace(self.marker)
        sync(self.folder)

    def marked(self) -> str:
        """What the marker says: `begun`, `complete`, or nothing where there is none."""
        try:
            return self.marker.read_text(encoding="ascii", errors="replace").strip()
        except FileNotFoundError:
            return ""


def locate(home: Path) -> Place:
    """The registry's place in a home folder.

    Raises:
        BadHome: the folder's name or file system cannot carry a registry.
    """
    folder = home.absolute() / "registry"
    # diskcache expands `~` and `$NAME` in its folder's name, so such a name would lead it elsewhere.
    if os.path.expandvars(Path(folder).expanduser()) != str(folder):
        raise BadHome(
            f"the home folder {home} has a name that reads like a variable, so the registry would land elsewhere. "
            "Set SPADEWORK_HOME to a folder whose name has no $ in it."
        )
    kind = _kind(folder)
    if kind in NETWORK:
        raise BadHome(
            f"the home folder {home} lies on a network file system ({kind}), where a SQLite registry breaks. "
            "Set SPADEWORK_HOME to a folder on a local disk."
        )
    return Place(folder)


def sync(folder: Path) -> None:
    """Have the disk remember a folder's entries."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _kind(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """The type of the file system that holds, or will hold, a folder; empty where the system does not say."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    real = folder.resolve()
    best, kind = -1, ""
    for line in lines:
        left, _, right = line.partition(" - ")
        point = Path(_plain(left.split(" ")[4]))
        # Later lines cover earlier ones at the same point.
        if (point == real or point in real.parents) and len(point.parts) >= best:
            best, kind = len(point.parts), right.split(" ")[0]
    return kind


def _plain(path: str) -> str:
    """A mount point as the kernel means it; it writes blanks and backslashes in octal."""
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, char)
    return path
