"""What the kernel tells of a process: its users, rights, filters, limits, thread by thread.

Called by the tests of this folder."""

from pathlib import Path


def fields(path):
    return dict(line.split(":\t", 1) for line in Path(path).read_text(encoding="ascii").splitlines()
                if ":\t" in line)


def of_all_threads(pid, name):
    """The different values that its threads have of this field."""
    return {fields(task / "status")[name].strip() for task in Path(f"/proc/{pid}/task").iterdir()}


def limit(pid, name):
    """(soft, hard) of a resource, as words."""
    line = next(line for line in Path(f"/proc/{pid}/limits").read_text(encoding="ascii").splitlines()
                if line.startswith(name))
    return tuple(line[len(name):].split()[:2])


def arguments(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes()
