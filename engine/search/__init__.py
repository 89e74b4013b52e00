"""Exact search by Euclidean distance: k nearest, all within a distance, and the best pairs over everything.

The native core proposes, in float32 or in bytes, or a graphics card on its tensor cores; float64 decides. Results equal a
brute-force search in float64 with ties ordered by id, whatever the blocks.
"""

from .blocks import Scanner
from .components import connected_rows, joined_rows
from .given import nearest_given, pair_distances
from .index import Index, IndexPairs
from .nearest import nearest_pairs
from .on_card import CardScanner
from .pairs import Pairs, Ranks, id_ranks
from .parted import PartedSearch, Wanted, answer
from .range import pairs_within
from .top import top_pairs
from .views import Images, ImageSearch, RowSearch, RowSearches, Searches

__all__ = [
    "CardScanner",
    "ImageSearch",
    "Images",
    "Index",
    "IndexPairs",
    "Pairs",
    "PartedSearch",
    "Ranks",
    "RowSearch",
    "RowSearches",
    "Scanner",
    "Searches",
    "Wanted",
    "answer",
    "connected_rows",
    "id_ranks",
    "joined_rows",
    "nearest_given",
    "nearest_pairs",
    "pair_distances",
    "pairs_within",
    "top_pairs",
]
