"""Pictures of scenes and labels, and charts of how good the labels are."""

from geodeeplab.maps.charts import plot_confusion, plot_reliability, plot_scores
from geodeeplab.maps.preview import overlay, thumbnail, write_preview
from geodeeplab.maps.report import Page, ReliabilityBins, draw_report, write_report

__all__ = [
    "Page",
    "ReliabilityBins",
    "draw_report",
    "overlay",
    "plot_confusion",
    "plot_reliability",
    "plot_scores",
    "thumbnail",
    "write_preview",
    "write_report",
]
