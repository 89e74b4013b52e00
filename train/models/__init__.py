"""Networks: backbones, their weights, pooling and head, the fast form of the trunk, projections. They know no photographs."""
