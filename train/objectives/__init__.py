"""What a network is trained to do: ArcFace, InfoNCE with the entropy term, triplets; each a loss, and how its batches look."""
