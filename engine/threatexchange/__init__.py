"""copytrace as an extension of ThreatExchange: a signal type for photographs with an index of its own. Needs the extra
``threatexchange``.

::

    tx config extensions add copytrace.engine.threatexchange
    tx hash photo photo.jpg                                          # copytrace Y3Qx...
    tx match photo edited.jpg

The environment variable COPYTRACE_BUNDLE names another bundle than the package's. HMA hashes and compares with the signal type,
but reads every index by unpickling it, which this one does not allow; ``copytrace.engine.serve.hma`` takes its place.
"""

from ..errors import optional_module

optional_module("threatexchange", "threatexchange")

from threatexchange.extensions.manifest import ThreatExchangeExtensionManifest  # noqa: E402

from .index import CopytraceIndex  # noqa: E402
from .signal import CopytraceSignal  # noqa: E402

TX_MANIFEST = ThreatExchangeExtensionManifest(signal_types=(CopytraceSignal,))

__all__ = ["TX_MANIFEST", "CopytraceIndex", "CopytraceSignal"]
