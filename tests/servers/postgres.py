"""PostgreSQL of Debian: initdb and postgres themselves, without pg_ctlcluster and its service."""

import contextlib
import signal
import subprocess
import time
from pathlib import Path

from servers.process import Server

USER = "coupon"
PASSWORD = "open/sesame&?"  # needs quoting in a URL, on purpose
QUOTED = "open%2Fsesame%26%3F"
WAIT_TIMEOUT_S = 60


def programs():
    """The folder of the newest version's programs, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"),
                   key=lambda path: float(path.parts[4]))
    return found[-1].parent if found else None


class Postgres(Server):
    NAME = "postgresql"
    READY = b"database system is ready to accept connections"
    STOP_SIGNAL = signal.SIGINT  # "fast": roll back, write a checkpoint

    @staticmethod
    def missing():
        """Why it cannot run here, or None."""
        return None if programs() else "PostgreSQL is not installed (package postgresql)"

    def make(self):
        password = self.folder / "password"
        password.write_text(PASSWORD + "\n")
        password.chmod(0o644)
        self.run_as(programs() / "initdb", "-D", self.folder / "data", "-U", USER, "-E", "UTF8",
                    "--locale=C.UTF-8", "-A", "scram-sha-256", f"--pwfile={password}",
                    "--no-sync")

    def command(self):
        return [programs() / "postgres", "-D", self.folder / "data", "-p", str(self.port),
                "-k", "", "-c", "listen_addresses=127.0.0.1", "-c", "shared_buffers=64MB",
                "-c", "max_wal_size=256MB", "-c", "logging_collector=off",
                "-c", "dynamic_shared_memory_type=mmap"]  # in its folder, which is removed

    def __exit__(self, *exception):
        """One that is killed leaves a piece of shared memory, by which a next one would know that
        an older one still runs; its id is the second number of the pid file's seventh line."""
        self.kill()
        with contextlib.suppress(OSError, IndexError):
            lines = (self.folder / "data" / "postmaster.pid").read_text().splitlines()
            subprocess.run(["ipcrm", "-m", lines[6].split()[1]], check=False, capture_output=True)
        super().__exit__(*exception)

    def url(self, database="postgres"):
        return f"postgresql://{USER}:{QUOTED}@127.0.0.1:{self.port}/{database}"

    def sql(self, text, database="postgres"):
        """Runs SQL as the owner; returns the values, tab-separated, a row a line."""
        done = subprocess.run(
            [programs() / "psql", "-XqAt", "-F", "\t", "-v", "ON_ERROR_STOP=1",
             "-d", self.url(database), "-c", text],
            capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return done.stdout.rstrip("\n")

    def drop(self, database):
        self.sql(f"DROP DATABASE {database} WITH (FORCE)")

    def drop_user_key(self, database):
        """Takes away what keeps I2 in a ledger."""
        self.sql("ALTER TABLE coupon_issues DROP CONSTRAINT coupon_issues_user", database)

    def wait_for(self, question, answer, database="postgres"):
        """Asks until the answer is this one."""
        end = time.monotonic() + WAIT_TIMEOUT_S
        while (found := self.sql(question, database)) != answer:
            if time.monotonic() > end:
                raise RuntimeError(f"{question}: {found}, not {answer}")

    def wait_for_setting(self, setting, value):
        self.wait_for(f"SHOW {setting}", value)
