"""ONNX files read without the ``onnx`` package: nodes, constants, inputs and outputs of a graph, and nothing by halves.

The file is a protobuf message (field numbers: onnx.proto3). Whatever is malformed, or of a kind that is not read here, raises
:class:`UnreadableError`.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Attribute = float | int | str | list[int]
Array = NDArray[np.generic]
_DTYPES = {1: "<f4", 2: "<u1", 3: "<i1", 6: "<i4", 7: "<i8"}
_NUMBERS = {1: 4, 2: 5, 3: 5, 6: 5, 7: 7}
"""Data type -> the field that holds its numbers where they are not raw bytes."""


class UnreadableError(Exception):
    """A file that is no ONNX model, or has something that is not read here; says what."""


@dataclass(frozen=True)
class Node:
    operator: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Attribute]


@dataclass(frozen=True)
class Value:
    """What goes in or out: its element type (ONNX's number) and lengths, -1 for a free one."""

    name: str
    dtype: int
    shape: list[int]


@dataclass
class Graph:
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)


def read_graph(path: Path) -> Graph:
    """Raises: UnreadableError, OSError."""
    try:
        fields = list(_fields(memoryview(path.read_bytes())))
        graphs = [value for number, value in fields if number == 7]
        if len(graphs) != 1 or any(number == 25 for number, _ in fields):
            raise UnreadableError("no graph in it, or functions")
        return _graph(_message(graphs[0]))
    except (ValueError, TypeError, OverflowError, struct.error) as error:
        raise UnreadableError(f"malformed: {error}") from error


Message = memoryview
Field = tuple[int, int | Message]
"""Field number and value: a whole number, or bytes; numbers of fixed length are bytes."""


def _fields(data: Message) -> Iterator[Field]:
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == 2:
            length, at = _varint(data, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise UnreadableError(f"wire type {wire}")
        if at + length > len(data):
            raise UnreadableError("it ends too early")
        yield number, data[at : at + length]
        at += length


def _varint(data: Message, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise UnreadableError("it ends too early")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & (1 << 64) - 1, at
    raise UnreadableError("a number of more than 64 bits")


def _graph(data: Message) -> Graph:
    graph = Graph()
    for number, value in _fields(data):
        if number == 1:
            graph.nodes.append(_node(_message(value)))
        elif number == 5:
            name, array = _tensor(_message(value))
            if name in graph.constants:
                raise UnreadableError(f"two constants {name}")
            graph.constants[name] = array
        elif number == 11:
            graph.inputs.append(_value(_message(value)))
        elif number == 12:
            graph.outputs.append(_value(_message(value)))
        elif number == 15:
            raise UnreadableError("sparse constants")
    return graph


def _node(data: Message) -> Node:
    node = Node("", [], [], {})
    operator, domain = "", ""
    for number, value in _fields(data):
        if number == 1:
            node.inputs.append(_text(value))
        elif number == 2:
            node.outputs.append(_text(value))
        elif number == 4:
            operator = _text(value)
        elif number == 5:
            name, attribute = _attribute(_message(value))
            if name in node.attributes:
                raise UnreadableError(f"two attributes {name}")
            node.attributes[name] = attribute
        elif number == 7:
            domain = _text(value)
    return Node(f"{domain}.{operator}" if domain else operator, node.inputs, node.outputs, node.attributes)


def _attribute(data: Message) -> tuple[str, Attribute]:
    name, kind, ints = "", 0, list[int]()
    single: Attribute = 0
    for number, value in _fields(data):
        if number == 1:
            name = _text(value)
        elif number == 20:
            kind = _whole(value)
        elif number == 2:
            single = float(struct.unpack("<f", _message(value))[0])
        elif number == 3:
            single = _signed(_whole(value))
        elif number == 4:
            single = _text(value)
        elif number == 8:
            ints += _numbers(value)
    if kind not in (1, 2, 3, 7):
        raise UnreadableError(f"attribute {name} of type {kind}")
    return name, ints if kind == 7 else single


def _tensor(data: Message) -> tuple[str, Array]:
    name, dtype, shape = "", 0, list[int]()
    raw: Message | None = None
    held: dict[int, list[int]] = {4: [], 5: [], 7: []}
    floats = bytearray()
    for number, value in _fields(data):
        if number == 1:
            shape += _numbers(value)
        elif number == 2:
            dtype = _whole(value)
        elif number == 4:
            floats += _message(value)
        elif number in (5, 7):
            held[number] += _numbers(value)
        elif number == 8:
            name = _text(value)
        elif number == 9:
            raw = _message(value)
        elif number == 14 and value != 0:
            raise UnreadableError(f"constant {name} is in another file")
    if dtype not in _DTYPES:
        raise UnreadableError(f"constant {name} of data type {dtype}")
    if any(length < 0 for length in shape):
        raise UnreadableError(f"constant {name} of a negative size")
    if raw is not None:
        array = np.frombuffer(
            raw, _DTYPES[dtype]
        ).copy()  # in the file numbers lie anywhere, here where processors want them
    elif dtype == 1:
        array = np.frombuffer(bytes(floats), _DTYPES[1])
    else:
        array = np.array(held[_NUMBERS[dtype]], np.int64).astype(_DTYPES[dtype])
    if array.size != prod(shape):
        raise UnreadableError(f"constant {name} has {array.size} values for {shape}")
    return name, array.reshape(shape)


def _value(data: Message) -> Value:
    name, dtype, shape = "", 0, list[int]()
    for number, value in _fields(data):
        if number == 1:
            name = _text(value)
        for _, tensor in _within([(number, value)], 2, 1):
            for part, inner in _fields(tensor):
                if part == 1:
                    dtype = _whole(inner)
                for _, dimension in _within([(part, inner)], 2, 1):
                    lengths = [_signed(_whole(length)) for key, length in _fields(dimension) if key == 1]
                    shape.append(lengths[0] if lengths else -1)
    return Value(name, dtype, shape)


def _within(fields: list[Field], outer: int, inner: int) -> Iterator[tuple[int, Message]]:
    """The messages of number ``inner`` in those of number ``outer``."""
    for number, value in fields:
        if number == outer:
            yield from ((key, _message(part)) for key, part in _fields(_message(value)) if key == inner)


def _numbers(value: int | Message) -> list[int]:
    """Of a repeated whole number: one, or many packed together."""
    if isinstance(value, int):
        return [_signed(value)]
    found, at = [], 0
    while at < len(value):
        number, at = _varint(value, at)
        found.append(_signed(number))
    return found


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _whole(value: int | Message) -> int:
    if not isinstance(value, int):
        raise UnreadableError("bytes in the place of a number")
    return value


def _message(value: int | Message) -> Message:
    if isinstance(value, int):
        raise UnreadableError("a number in the place of bytes")
    return value


def _text(value: int | Message) -> str:
    return bytes(_message(value)).decode()
