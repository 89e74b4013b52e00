"""Training: networks, projection and the attacks that turn a photograph into a query. Needs the extra ``train``."""
