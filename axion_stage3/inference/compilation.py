"""torch.compile for the network's parts, and the way back where it does not work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

import torch

from axion_stage3.inference.devices import brief_reason, is_out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")


class Compiler:
    """Compiles functions; the first that fails is said once, and then nothing is compiled.

    Args:
        on_note: Is told why nothing is compiled.
    """

    def __init__(self, on_note: Callable[[str], None]) -> None:
        self._on_note = on_note
        self.is_on = True

    def compiled(self, function: Callable[P, R]) -> Callable[P, R]:
        """Return a function that does the same, compiled when it is first called with a shape."""
        return _Compiled(function, self)

    def give_up(self, error: Exception) -> None:
        """Compile nothing from now on."""
        if self.is_on:
            self.is_on = False
            self._on_note(
                f"torch.compile does not work here ({brief_reason(error)}); the network runs as it "
                "is."
            )


class _Compiled(Generic[P, R]):
    def __init__(self, function: Callable[P, R], compiler: Compiler) -> None:
        self._function = function
        self._compiler = compiler
        self._compiled: Any = None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if self._compiler.is_on:
            try:
                if self._compiled is None:
                    self._compiled = torch.compile(self._function, dynamic=False)
                result: R = self._compiled(*args, **kwargs)
            except Exception as error:
                # An error of the function itself comes again below, as its own.
                if is_out_of_memory(error):
                    raise
                self._compiler.give_up(error)
            else:
                return result
        return self._function(*args, **kwargs)
