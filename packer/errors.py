"""The one error root of the project and the exit codes that go with it.

Every failure that a user can cause or meet is a :class:`PackerError` whose text is one clear sentence: what failed, on
which path or field, what was expected, and what to do next. The command lines print that sentence and exit with
:attr:`PackerError.exit_code`; a traceback appears only with ``--verbose``.

====  ==================================================================
code  meaning
====  ==================================================================
0     done
1     unexpected failure (a bug: report it)
2     wrong usage of the command line
3     bad input: a model, configuration or packed file that can't be used
4     the output can't be written
5     the packed file is damaged
6     a tool failed while building a runtime
7     this machine can't run it (no cache directory, port taken, memory)
130   interrupted (Ctrl-C)
====  ==================================================================
"""


class PackerError(Exception):
    """An expected failure; ``str(error)`` is the one sentence for the user."""

    exit_code = 1


class InputError(PackerError):
    """A model, configuration or packed file given by the user can't be used."""

    exit_code = 3


class OutputError(PackerError):
    """The output can't be written where the user asked for it."""

    exit_code = 4


class DamagedError(PackerError):
    """A packed file is cut short or its bytes differ from its manifest."""

    exit_code = 5


class BuildError(PackerError):
    """A tool failed while building a runtime."""

    exit_code = 6


class MachineError(PackerError):
    """This machine lacks something that running needs."""

    exit_code = 7


EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141
