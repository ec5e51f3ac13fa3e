"""What a program that was built with a sanitizer is run with. For run.py here and fuzz/run.py."""

import subprocess

# Any report ends the process: with an exit code of its own, and what leaked counts, too.
ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1:abort_on_error=0:exitcode=99",
    "LSAN_OPTIONS": "exitcode=99",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1:exitcode=99",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1:exitcode=99",
}


def no_randomisation():
    """The words before a command that take address randomisation away, none where that is not
    allowed. Debian 12's sanitizers cannot live with the wide one of some kernels
    (vm.mmap_rnd_bits 32)."""
    command = ["setarch", "-R"]
    works = subprocess.run([*command, "true"], capture_output=True).returncode == 0
    return command if works else []


PREFIX = no_randomisation()
