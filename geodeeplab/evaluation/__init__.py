"""Metrics of label rasters against a truth."""

from geodeeplab.evaluation.boundary import boundary_bands, boundary_counts, boundary_iou
from geodeeplab.evaluation.confusion import confusion_matrix, iou, mean_iou

__all__ = ["boundary_bands", "boundary_counts", "boundary_iou", "confusion_matrix", "iou", "mean_iou"]
