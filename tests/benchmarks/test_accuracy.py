"""The whole command on a folder of two people, with the real default models."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.accuracy import main
from benchmarks.accuracy_data import read_data
from benchmarks.accuracy_report import BEGIN, END
from tests.pictures import portrait

PEOPLE = ("grace-hopper", "eileen-collins")
PAGE = f"# Accuracy\n\nBefore.\n\n{BEGIN}\nold numbers\n{END}\n\nAfter.\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three sizes of each portrait, a grey picture, a broken file."""
    rows = ["set,file,identity,n_faces"]
    for person in PEOPLE:
        (tmp_path / person).mkdir()
        for side in (300, 400, 500):
            picture = portrait(person)
            picture.thumbnail((side, side))
            picture.save(tmp_path / person / f"{side}.jpg", quality=92)
            rows.append(f"people,{person}/{side}.jpg,{person},1")
    buffer = BytesIO()
    Image.new("RGB", (300, 300), "grey").save(buffer, "PNG")
    (tmp_path / "grey.png").write_bytes(buffer.getvalue())
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    rows += ["things,grey.png,,0", "things,broken.jpg,,0"]
    (tmp_path / "index.csv").write_text("\n".join(rows))
    pairs = ["fold,file_a,file_b,same"]
    one, other = PEOPLE
    for fold, (small, large) in enumerate([(300, 400), (400, 500)]):
        for person in PEOPLE:
            pairs.append(f"{fold},{person}/{small}.jpg,{person}/{large}.jpg,1")
        pairs.append(f"{fold},{one}/{small}.jpg,{other}/{large}.jpg,0")
        pairs.append(f"{fold},{other}/{small}.jpg,{one}/{large}.jpg,0")
    (tmp_path / "mine_pairs.csv").write_text("\n".join(pairs))
    return tmp_path


def test_the_command_measures_prints_and_writes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """key=value lines at the end, tables and plots between the marks of the page."""
    page = folder / "accuracy.md"
    page.write_text(PAGE)
    assert 0 == main([str(folder), "--models", "yunet,sface", "--page", str(page)])
    values = dict(line.split("=") for line in capsys.readouterr().out.splitlines())
    assert "100.00" == values["mine_accuracy_sface"]
    assert "100.00" == values["tar_1e-3_sface"]
    assert "100.00" == values["recall_yunet_people"]
    assert "0" == values["false_faces_yunet"]
    assert "6/6" == values["turned180_found_yunet"]
    assert float(values["turned90_cosine_yunet"]) > 0.85
    text = page.read_text()
    assert text.startswith("# Accuracy\n\nBefore.")
    assert text.endswith("After.\n")
    assert "old numbers" not in text
    assert "| yunet | people | 6 of 6 | 0 | 6 |" in text
    for plot in ("accuracy-roc.png", "accuracy-reject.png"):
        assert (folder / "images" / plot).read_bytes().startswith(b"\x89PNG")


def test_a_folder_that_is_none_is_explained(tmp_path: Path) -> None:
    """Which file or column is missing."""
    with pytest.raises(SystemExit, match=r"neither index\.csv nor"):
        read_data(tmp_path)
    (tmp_path / "index.csv").write_text("file,n_faces\na.jpg,1\n")
    with pytest.raises(SystemExit, match="columns missing: set"):
        read_data(tmp_path)
