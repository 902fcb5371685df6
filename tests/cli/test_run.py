"""What the command says of an error."""

import errno

from covidjax.cli import run


def test_of_a_full_disk_the_message_says_what_to_do():
    full = OSError(errno.ENOSPC, "No space left on device")
    assert run.explained(full, "do it again").endswith("on device. Make room; do it again")
    assert run.explained(OSError(errno.EACCES, "Permission denied"), "x").endswith("denied")
    assert run.explained(ValueError("what"), "x") == "what"
