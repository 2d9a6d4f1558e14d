"""Statistics that another program adds beside a raster are no change of it."""

from pathlib import Path

from geodeeplab.raster.sources.side_file import digest_side_file

STATISTICS = '<MDI key="STATISTICS_MEAN">90.7</MDI><MDI key="STATISTICS_VALID_PERCENT">100</MDI>'
HISTOGRAMS = "<Histograms><HistItem><HistMin>0</HistMin><HistCounts>1|2</HistCounts></HistItem></Histograms>"


def digest(path: Path, bands: str) -> str | None:
    path.write_text(f"<PAMDataset>\n  {bands}\n</PAMDataset>\n")
    return digest_side_file(path)


def test_statistics_alone_say_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.tif.aux.xml"
    assert digest(path, "") is None
    assert digest(path, f'<PAMRasterBand band="1"><Metadata>{STATISTICS}</Metadata></PAMRasterBand>') is None
    assert digest(path, f'<PAMRasterBand band="2"><Description>red</Description>{HISTOGRAMS}</PAMRasterBand>') is None


def test_what_is_said_besides_counts_with_and_without_statistics(tmp_path: Path) -> None:
    path = tmp_path / "a.tif.aux.xml"
    nodata = "<NoDataValue>0</NoDataValue>"
    plain = digest(path, f'<PAMRasterBand band="1">{nodata}</PAMRasterBand>')
    assert plain is not None
    assert plain == digest(
        path, f'<PAMRasterBand band="1">{HISTOGRAMS}{nodata}<Metadata>{STATISTICS}</Metadata></PAMRasterBand>'
    )
    assert plain != digest(path, f'<PAMRasterBand band="2">{nodata}</PAMRasterBand>')
    assert plain != digest(path, '<PAMRasterBand band="1"><NoDataValue>1</NoDataValue></PAMRasterBand>')
    other = digest(path, f'<PAMRasterBand band="1">{nodata}<Metadata><MDI key="a">1</MDI></Metadata></PAMRasterBand>')
    assert other not in (plain, None)
