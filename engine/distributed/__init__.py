"""Several machines by a Ray cluster: shards are embedded and parts of the references searched in actors.

Ray hands out work and says what has died; what a unit of work is, and what all of them make, is the engine's own: the shard of
``shards.py``, the part of ``search/parted.py``.
"""

from .embedding import ClusterRun, embed_on_cluster, parts_folder
from .searching import ActorUse, ClusterFound, search_on_cluster

__all__ = ["ActorUse", "ClusterFound", "ClusterRun", "embed_on_cluster", "parts_folder", "search_on_cluster"]
