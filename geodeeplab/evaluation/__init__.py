"""Metrics of label rasters and polygons against a truth. Everything takes arrays; `gdl.evaluate` streams files."""

from geodeeplab.evaluation.areas import AreaEstimate, adjusted_areas
from geodeeplab.evaluation.average_precision import IOU_THRESHOLDS, average_precisions
from geodeeplab.evaluation.boundary import boundary_bands, boundary_counts, boundary_iou, diagonal_distance
from geodeeplab.evaluation.boundary_error import Distances, boundary_distances, halo, no_distances
from geodeeplab.evaluation.calibration import Reliability, percent_counts, reliability, reliability_of_percents
from geodeeplab.evaluation.confusion import confusion_matrix, iou, mean_iou
from geodeeplab.evaluation.objects import Matches, ObjectCounts, covered_shares, match_objects
from geodeeplab.evaluation.pixels import accuracy, f1, kappa, mean_over_classes, precision, recall
from geodeeplab.evaluation.sample_sizes import sample_sizes
from geodeeplab.evaluation.temperature import fit_temperature, softmax

__all__ = [
    "IOU_THRESHOLDS",
    "AreaEstimate",
    "Distances",
    "Matches",
    "ObjectCounts",
    "Reliability",
    "accuracy",
    "adjusted_areas",
    "average_precisions",
    "boundary_bands",
    "boundary_counts",
    "boundary_distances",
    "boundary_iou",
    "confusion_matrix",
    "covered_shares",
    "diagonal_distance",
    "f1",
    "fit_temperature",
    "halo",
    "iou",
    "kappa",
    "match_objects",
    "mean_iou",
    "mean_over_classes",
    "no_distances",
    "percent_counts",
    "precision",
    "recall",
    "reliability",
    "reliability_of_percents",
    "sample_sizes",
    "softmax",
]
