"""MariaDB of Debian: mariadbd itself, from mariadb-server-core, which has no service."""

import shutil
import signal
import subprocess

from servers.process import Server

USER = "coupon"
PASSWORD = "open/sesame&?"  # needs quoting in a URL, on purpose
QUOTED = "open%2Fsesame%26%3F"
WAIT_ROUNDS = 2000  # of one query each
PATHS = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"

FIRST_SQL = f"""
CREATE DATABASE IF NOT EXISTS coupon;
CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';
GRANT ALL ON *.* TO '{USER}'@'%' WITH GRANT OPTION;
"""


def program(name):
    return shutil.which(name, path=PATHS)


class MariaDB(Server):
    NAME = "mariadb"
    READY = b"ready for connections"
    STOP_SIGNAL = signal.SIGTERM

    @staticmethod
    def missing():
        """Why it cannot run here, or None."""
        if program("mariadbd") and program("mariadb-install-db"):
            return None
        return "MariaDB is not installed (package mariadb-server-core)"

    def own_tmpdir(self):
        """mariadbd begins with removing what looks like its temporary files from the folder for
        them: in one that is shared also those of another that runs."""
        return f"--tmpdir={self.folder}"

    def make(self):
        self.run_as(program("mariadb-install-db"), "--no-defaults", f"--datadir={self.folder}/data",
                    self.own_tmpdir(), "--auth-root-authentication-method=normal", "--skip-test-db")
        (self.folder / "first.sql").write_text(FIRST_SQL)
        (self.folder / "first.sql").chmod(0o644)

    def command(self):
        return [program("mariadbd"), "--no-defaults", f"--datadir={self.folder}/data",
                self.own_tmpdir(), f"--socket={self.folder}/socket", f"--pid-file={self.folder}/pid",
                f"--port={self.port}", "--bind-address=127.0.0.1", "--skip-name-resolve",
                f"--init-file={self.folder}/first.sql", "--innodb-buffer-pool-size=64M",
                "--innodb-log-file-size=64M"]

    def url(self, database="coupon"):
        return f"mysql://{USER}:{QUOTED}@127.0.0.1:{self.port}/{database}"

    def sql(self, text, database="mysql"):
        """Runs SQL as the user that may do all; returns the values, tab-separated, a row a
        line."""
        done = subprocess.run(
            [program("mariadb"), "--no-defaults", "-h127.0.0.1", f"-P{self.port}", f"-u{USER}",
             f"-p{PASSWORD}", "-BN", "-e", text, database],
            capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return done.stdout.rstrip("\n")

    def drop(self, database):
        self.sql(f"DROP DATABASE {database}")

    def drop_user_key(self, database):
        """Takes away what keeps I2 in a ledger."""
        self.sql("ALTER TABLE coupon_issues DROP INDEX coupon_issues_user", database)

    def wait_for(self, question, answer, database="mysql"):
        """Until the SQL's answer is this one."""
        for _ in range(WAIT_ROUNDS):
            found = self.sql(question, database)
            if found == answer:
                return
        raise AssertionError(f"{question}: {found}, and not {answer}")
