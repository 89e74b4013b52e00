"""Milvus as an approximate index of rows under numbers. It proposes; whoever has the rows decides, by exact distances.

A server is reached by its address; Milvus Lite runs within this process, on a folder that one process at a time may open.
"""

from .address import FORMS, MilvusAddress
from .rows import Part, StoredRows
from .sample import RecallSample

__all__ = ["FORMS", "MilvusAddress", "Part", "RecallSample", "StoredRows"]
