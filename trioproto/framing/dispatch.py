"""State machines without a fixed table: a method for each state."""

from __future__ import annotations

from typing import Any


class StateDispatch:
    """Calls ``state_NAME`` for the state that ``state`` names.

    For protocols whose states come and go with the code, as the howto's chat::

        class Chat(StateDispatch, LineReceiver):
            state = "get_name"

            def line_received(self, line):
                return self.dispatch(line)

            def state_get_name(self, line):
                ...
                self.state = "chat"

            def state_chat(self, line): ...

    The methods may be ``async def``.

    Attributes:
        state: the name of the state.

    Raises:
        TypeError: a class's first state has no method.

    Origin: Twisted howto "Writing Servers", Helper Protocols: state machines.
    """

    state: str

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a first state that has no method."""
        super().__init_subclass__(**kwargs)
        state = getattr(cls, "state", None)
        if state is not None and not hasattr(cls, f"state_{state}"):
            raise TypeError(f"{cls.__name__} has no state_{state}")

    def dispatch(self, *args: Any) -> Any:
        """Call the method of the state, and return what it returns.

        Raises:
            LookupError: it has none; the message names those that there are.
        """
        method = getattr(self, f"state_{self.state}", None)
        if method is None:
            known = sorted(name for name in dir(self) if name.startswith("state_"))
            raise LookupError(f"no state_{self.state} among {', '.join(known)}")
        return method(*args)
