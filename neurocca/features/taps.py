"""Taking the outputs of some modules out of a network's forward pass, and computing nothing after the last of them."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor, nn

Take = Callable[[Tensor], Tensor]


class _AllTaken(Exception):
    """Ends a forward pass whose rest nobody asked for."""


class Taps:
    """Hooks on modules of a network.

    A module that is called several times in a pass gives its last output. Outputs are pooled at once, because
    the network may go on to change them in place.

    Parameters
    ----------
    module : nn.Module
        The network; it keeps the hooks.
    takes : dict of callable
        What to make of each module's output, by module path.
    calls : iterable of str
        Module paths in the order in which a pass calls them, with repetitions.
    """

    def __init__(self, module: nn.Module, takes: dict[str, Take], calls: Iterable[str]) -> None:
        counts = Counter(calls)
        self._module, self.layers = module, tuple(takes)
        self._n_calls = {path: counts[path] for path in takes}
        self._seen: Counter[str] = Counter()
        self._taken: dict[str, Tensor] = {}
        for path, take in takes.items():
            module.get_submodule(path).register_forward_hook(self._hook(path, take))

    def __call__(self, x: Tensor) -> dict[str, Tensor]:
        """What is taken from one pass, by module path in the order of ``takes``.

        Raises
        ------
        RuntimeError
            When a module is called less often than was said.
        """
        self._seen.clear()
        self._taken = {}
        try:
            self._module(x)
        except _AllTaken:
            taken, self._taken = self._taken, {}
            return {path: taken[path] for path in self._n_calls}
        few = [path for path in self._n_calls if path not in self._taken]
        raise RuntimeError(f"layer {few[0]!r} ran {self._seen[few[0]]} times, expected {self._n_calls[few[0]]}.")

    def _hook(self, path: str, take: Take) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            self._seen[path] += 1
            if self._seen[path] == self._n_calls[path]:
                self._taken[path] = take(output)
                if len(self._taken) == len(self._n_calls):
                    raise _AllTaken

        return hook
