"""Every activation of a model as a module of its own, wherever the model's code can be traced.

What a module's own forward calls as functions, or calls several times, is told apart by tracing that forward alone,
with everything below it left as it is; blocks stay blocks, with their names, and untraceable code does no harm
elsewhere.
"""

from __future__ import annotations

import copy
import inspect
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import fx, nn
from torch.nn import functional

from tacit.codesign.activations.poly import PolyAct
from tacit.codesign.kinds import call_of, is_inplace, kind_of

__all__ = ["Spot", "separate", "spots"]

_DROPOUTS: dict[Any, type[nn.Module]] = {
    functional.dropout: nn.Dropout,
    functional.dropout1d: nn.Dropout1d,
    functional.dropout2d: nn.Dropout2d,
    functional.dropout3d: nn.Dropout3d,
    functional.alpha_dropout: nn.AlphaDropout,
}


@dataclass(frozen=True)
class Spot:
    """An activation module: it is `parent`'s child `name`, `path` in the model."""

    path: str
    parent: nn.Module
    name: str
    module: nn.Module


def spots(model: nn.Module) -> Iterator[Spot]:
    """Every activation and max-pool below a model, in the order of its modules."""
    for path, parent in model.named_modules():
        for name, child in parent.named_children() if kind_of(parent) is None else ():
            if kind_of(child) is not None:
                yield Spot(f"{path}.{name}" if path else name, parent, name, child)


def separate(model: nn.Module) -> nn.Module:
    """The model with one module for each activation that its code calls. The model itself is changed.

    A rewritten module becomes a torch.fx.GraphModule with the same children, weights and names; a second call of a
    module `relu` is named `relu_2`, and functions are named after what they are.
    """
    for module in [*model.modules()]:
        if not _has_code(module):
            continue
        rewritten = _rewritten(module)
        if rewritten is not None:
            model = _exchanged(model, module, rewritten)
    seen: set[int] = set()
    for parent in [*model.modules()]:
        for name, child in [*parent._modules.items()]:
            if child is None or kind_of(child) is None:
                continue
            if id(child) in seen:
                parent._modules[name] = _copy(child)
            seen.add(id(child))
    return model


def _has_code(module: nn.Module) -> bool:
    """Whether the module has a forward of its own to look into."""
    if isinstance(module, PolyAct) or kind_of(module) is not None:
        return False
    return not str(getattr(type(module).forward, "__module__", "")).startswith("torch.nn.")


def _exchanged(model: nn.Module, old: nn.Module, new: nn.Module) -> nn.Module:
    """The model with `new` wherever `old` was."""
    if model is old:
        return new
    for parent in [*model.modules()]:
        for name, child in [*parent._modules.items()]:
            if child is old:
                parent._modules[name] = new
    return model


def _copy(module: nn.Module) -> nn.Module:
    """The same module once more; weights, if it has any, stay shared."""
    twin = copy.deepcopy(module)
    for name, parameter in module.named_parameters(recurse=False):
        setattr(twin, name, parameter)
    return twin


class _OneForward(fx.Tracer):
    """Traces one module's own code: everything that it calls is a leaf."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True


def _trace(module: nn.Module) -> tuple[fx.Graph, list[fx.Node]] | None:
    """The graph of a module's own forward, its optional arguments at their defaults; None where it has none.

    It is traced in both modes, which may differ in dropouts only: these are returned too.
    """
    parameters = inspect.signature(type(module).forward).parameters.values()
    fixed = {p.name: p.default for p in parameters if isinstance(p.default, bool | int | float | str | None)}
    before, graphs = module.training, []
    try:
        for mode in (True, False):
            module.training = mode
            graphs.append(_OneForward().trace(module, concrete_args=fixed or None))
    except Exception:  # the code may do anything with the stand-ins for tensors
        return None
    finally:
        module.training = before
    switched = _switched(*graphs)
    return None if switched is None else (graphs[0], switched)


def _switched(training: fx.Graph, evaluation: fx.Graph) -> list[fx.Node] | None:
    """The dropouts of the first graph that the second one switches off; None where they differ in anything else."""
    if len(training.nodes) != len(evaluation.nodes):
        return None
    switched = []
    for a, b in zip(training.nodes, evaluation.nodes, strict=True):
        if (a.op, str(a.target), str(a.args)) != (b.op, str(b.target), str(b.args)):
            return None
        if str(a.kwargs) == str(b.kwargs):
            continue
        rest = [{k: v for k, v in n.kwargs.items() if k != "training"} for n in (a, b)]
        if a.target not in _DROPOUTS or str(rest[0]) != str(rest[1]):
            return None
        switched.append(a)
    return switched


@dataclass(frozen=True)
class _Call:
    """A call of an activation: by its module at `path`, or by a function, which `module` does the same as."""

    node: fx.Node
    module: nn.Module
    path: str | None
    inplace: bool

    @property
    def later(self) -> list[fx.Node]:
        """What reads the input after the call: the result, if that was written over it."""
        source, order = self.node.all_input_nodes[0], [*self.node.graph.nodes]
        return [user for user in source.users if order.index(user) > order.index(self.node)] if self.inplace else []


def _calls(module: nn.Module, graph: fx.Graph) -> list[_Call]:
    found = []
    for node in graph.nodes:
        if node.op == "call_module":
            called = module.get_submodule(node.target)
            if kind_of(called) is not None and node.all_input_nodes:
                found.append(_Call(node, called, str(node.target), is_inplace(node, called)))
            continue
        same = call_of(node)
        if same is not None and node.all_input_nodes:
            found.append(_Call(node, same, None, is_inplace(node, None)))
    return found


def _rewritten(module: nn.Module) -> nn.Module | None:
    """The module with each activation that it calls as a child of its own; None where it is so already, or cannot be.

    Children are added to the module given.
    """
    traced = _trace(module)
    if traced is None:
        return None
    graph, switched = traced
    calls = _calls(module, graph)
    uses = Counter(call.path for call in calls)
    if not any(c.path is None or uses[c.path] > 1 or c.later for c in calls):
        return None
    for node in switched:
        given = {k: v for k, v in node.kwargs.items() if k == "p"}
        _as_module(graph, node, module, _added(module, "dropout", _DROPOUTS[node.target](**given)))
    seen: set[str] = set()
    for call in calls:
        later = call.later
        path = call.path
        if path is None or path in seen:
            base = (path or str(kind_of(call.module))).replace(".", "_")
            path = _added(module, base, _copy(call.module))
        seen.add(path)
        source = call.node.all_input_nodes[0]
        new = _as_module(graph, call.node, module, path)
        for user in later:
            user.replace_input_with(source, new)
    return _graph_module(module, graph)


def _as_module(graph: fx.Graph, node: fx.Node, module: nn.Module, path: str) -> fx.Node:
    """The call of the child at `path` in place of a node."""
    module.get_submodule(path).train(module.training)
    with graph.inserting_after(node):
        new = graph.call_module(path, (node.all_input_nodes[0],))
    node.replace_all_uses_with(new)
    graph.erase_node(node)
    return new


def _added(module: nn.Module, base: str, child: nn.Module) -> str:
    """The name of a new child: `base`, or that with a number."""
    name, count = base, 1
    while hasattr(module, name):
        count += 1
        name = f"{base}_{count}"
    module.add_module(name, child)
    return name


def _graph_module(module: nn.Module, graph: fx.Graph) -> fx.GraphModule:
    """The module that runs the graph, with all that the first one holds, used by the graph or not."""
    graph.lint()
    made = fx.GraphModule(module, graph, class_name=type(module).__name__)
    for store in ("_modules", "_parameters", "_buffers"):
        getattr(made, store).clear()
        getattr(made, store).update(getattr(module, store))
    made._non_persistent_buffers_set = set(module._non_persistent_buffers_set)
    for name, value in vars(module).items():
        if not name.startswith("_") and name not in vars(made):
            setattr(made, name, value)
    made.training = module.training
    return made
