"""Scoring: the challenge's metric, calibration of a threshold, plots and the HTML report."""

from .calibrate import Calibration, find_threshold
from .csv_files import read_labels, read_pairs, read_truth, write_pairs
from .metric import Evaluation, Ranking, evaluate, evaluate_ranking, rank_pairs
from .tables import GroundTruth, ScoredPairs, mismatch

__all__ = [
    "Calibration",
    "Evaluation",
    "GroundTruth",
    "Ranking",
    "ScoredPairs",
    "evaluate",
    "evaluate_ranking",
    "find_threshold",
    "mismatch",
    "rank_pairs",
    "read_labels",
    "read_pairs",
    "read_truth",
    "write_pairs",
]
