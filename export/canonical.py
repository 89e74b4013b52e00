"""One network, one file: takes out of an ONNX model what is no part of the computation and differs from run to run."""

from typing import Any


def make_canonical(model: Any) -> None:
    """Leave only what depends on the weights and the graph: no traces of the exporting process, constants in the order of
    their names.

    PyTorch's exporter notes at every node the lines of source it came from, with the paths of the machine and a counter of the
    process; other tools add their names and versions. Works in place, on the functions and subgraphs too.
    """
    for field in ("producer_name", "producer_version", "model_version", "doc_string", "domain", "metadata_props"):
        model.ClearField(field)
    _clean_graph(model.graph)
    for function in model.functions:
        _clear_notes(function)
        _clean_nodes(function.node)


def _clean_graph(graph: Any) -> None:
    _clear_notes(graph)
    graph.initializer.sort(key=lambda tensor: tensor.name)
    graph.value_info.sort(key=lambda value: value.name)
    for named in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        _clear_notes(named)
    _clean_nodes(graph.node)


def _clean_nodes(nodes: Any) -> None:
    for node in nodes:
        _clear_notes(node)
        for attribute in node.attribute:
            attribute.ClearField("doc_string")
            for graph in (attribute.g, *attribute.graphs) if attribute.HasField("g") else attribute.graphs:
                _clean_graph(graph)


def _clear_notes(item: Any) -> None:
    item.ClearField("doc_string")
    item.ClearField("metadata_props")
