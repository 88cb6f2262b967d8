"""What can be wrong: the call, or the folder."""


class CallError(ValueError):
    """The call is wrong: a name, a type or a modifier."""


class TargetError(Exception):
    """The folder cannot be used; nothing was changed."""
