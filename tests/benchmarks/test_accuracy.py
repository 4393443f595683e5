"""``make accuracy`` on a folder with two people and the real default models."""

from __future__ import annotations

import hashlib
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmarks.accuracy import main
from benchmarks.accuracy_data import Picture, carried_labels, read_data
from benchmarks.accuracy_models import measurable, pipeline_of
from benchmarks.accuracy_report import BEGIN, END
from benchmarks.accuracy_targets import verdicts
from benchmarks.measure_detection import faces_among, measure_detection
from models.manifest import FALSE_ACCEPT_RATES, manifest
from models.pictures.decoding import decode_reduced
from streams.config.settings import load_settings
from tests.models.generated_graphs import quality_model
from tools.pictures import portrait

PEOPLE = ("grace-hopper", "eileen-collins")
PAGE = f"# Accuracy\n\nBefore.\n\n{BEGIN}\nold numbers\n{END}\n\nAfter.\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Create three sizes of each portrait, a grey picture and a broken file."""
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


def test_the_command_prints_the_figures_and_writes_the_page(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tables and plots replace only the text between the page's markers."""
    page = folder / "accuracy.md"
    page.write_text(PAGE)
    assert 0 == main([str(folder), "--models", "yunet,sface", "--page", str(page)])
    printed = capsys.readouterr()
    values = dict(line.split("=", 1) for line in printed.out.splitlines())
    assert "100.00" == values["mine_accuracy_sface"]
    assert "0.00" == values["misses_reject20_quality_sface"]
    assert "100.00" == values["recall_yunet_people"]
    assert "6/6" == values["found_yunet_people"]
    assert "0" == values["false_faces_yunet"]
    assert "6/6" == values["turned180_found_yunet"]
    assert float(values["turned90_cosine_yunet"]) > 0.85
    assert "reached (0, wanted at most 2)" == values["reach_false_faces_yunet"]
    assert "reached (6/6, wanted all)" == values["reach_turned180_found_yunet"]
    assert "not-measured (-, wanted at least 99)" == values["reach_lfw_accuracy_sface"]
    assert "cannot be read: broken.jpg" in printed.err
    text = page.read_text()
    assert "- cannot be read: broken.jpg" in text
    # 12 pairs of two people are too few for rates of 1e-2 and less.
    assert not [key for key in values if key.startswith(("tar_", "threshold_"))]
    assert "| sface | 9 | too few pairs | too few pairs |" in text
    assert text.startswith("# Accuracy\n\nBefore.")
    assert text.endswith("After.\n")
    assert "old numbers" not in text
    assert "| yunet | people | 6 of 6 | 0 | 6 |" in text
    for plot in ("accuracy-roc.png", "accuracy-reject.png"):
        assert (folder / "images" / plot).read_bytes().startswith(b"\x89PNG")


def test_a_model_without_an_accepted_licence_is_left_out(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page lists it with the setting that accepts the licence."""
    (folder / "index.csv").unlink()
    page = folder / "accuracy.md"
    page.write_text(PAGE)
    assert 0 == main([str(folder), "--models", "sface,fr_feature", "--page", str(page)])
    printed = capsys.readouterr()
    assert "accuracy_fr_feature" not in printed.out.replace("reach_lfw_accuracy_fr_feature", "")
    assert "ACCEPT_MODEL_LICENCE=fr_feature" in printed.err
    assert "ACCEPT_MODEL_LICENCE=fr_feature" in page.read_text()


def test_a_model_with_an_accepted_licence_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``ACCEPT_MODEL_LICENCE`` names the model."""
    monkeypatch.setattr("benchmarks.accuracy_models.fetch", lambda *_, **__: tmp_path)
    monkeypatch.setattr("benchmarks.accuracy_models.find_weights", lambda *_: tmp_path)
    refusing = measurable(load_settings(), ("fr_feature", "sface"))
    assert (("sface",), ["fr_feature"]) == (refusing.embedders, list(refusing.refused))
    accepting = load_settings(accept_model_licence="fr_feature")
    assert ("sface", "fr_feature") == measurable(accepting, ("fr_feature", "sface")).embedders


def test_keys_of_several_pair_lists_are_unique(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each begins with the name of its list."""
    (folder / "index.csv").unlink()
    (folder / "other_pairs.csv").write_bytes((folder / "mine_pairs.csv").read_bytes())
    assert 0 == main([str(folder), "--models", "sface"])
    keys = [line.split("=")[0] for line in capsys.readouterr().out.splitlines()]
    assert len(keys) == len(set(keys))
    assert {"mine_misses_reject20_quality_sface", "other_misses_reject20_quality_sface"} <= {*keys}


def test_large_files_are_decoded_as_in_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pipeline decodes them at a reduced size."""
    large = portrait().resize((2600, 3047))
    large.save(tmp_path / "large.jpg", quality=90)
    (tmp_path / "index.csv").write_text("set,file,n_faces\ns,large.jpg,1\n")
    reductions: list[int] = []

    def watched(*arguments: Any, **options: Any) -> Any:
        picture = decode_reduced(*arguments, **options)
        reductions.append(picture.factor)
        return picture

    monkeypatch.setattr("models.picture_search.decode_reduced", watched)
    pipeline = pipeline_of(load_settings(), "yunet", "sface")
    found = measure_detection(pipeline, read_data(tmp_path, {}), lambda: None)
    assert (1, [2]) == (found.by_set["s"].found, reductions)


@pytest.mark.parametrize(
    ("key", "value", "outcome"),
    [
        ("lfw_accuracy_sface", "99.00", "reached"),
        ("lfw_accuracy_sface", "98.99", "NOT-REACHED"),
        ("found_yunet_compreface", "45/46", "NOT-REACHED"),
        ("false_faces_yunet", "2", "reached"),
        ("false_faces_yunet", "3", "NOT-REACHED"),
        ("turned90_found_yunet", "61/62", "NOT-REACHED"),
        ("turned90_cosine_yunet", "nan", "NOT-REACHED"),
    ],
)
def test_a_target_is_reached_or_not(key: str, value: str, outcome: str) -> None:
    """A target without a measured value is neither."""
    outcomes = {one.target.key: one.outcome for one in verdicts({key: value})}
    assert outcome == outcomes.pop(key)
    assert {"not-measured"} == set(outcomes.values())


def test_an_available_quality_model_is_measured(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is one more signal for leaving faces out."""
    own = tmp_path / "own"
    own.mkdir()
    quality_model(own / "judge.onnx")
    page = folder / "accuracy.md"
    page.write_text(PAGE)
    settings = load_settings(model_path=own)
    monkeypatch.setattr("benchmarks.accuracy.current", lambda: settings)
    assert 0 == main([str(folder), "--models", "sface,judge", "--page", str(page)])
    assert 2 == page.read_text().count("| learned quality |")


def test_each_labelled_face_needs_its_own_detection() -> None:
    """A detection beside a face, or a second one of another face, does not count."""
    labelled = ((10.0, 10.0, 40.0, 40.0), (100.0, 10.0, 40.0, 40.0))
    picture = Picture("set", "file", "", 2, labelled)
    first, taller, beside = (12, 8, 36, 50), (98, 0, 50, 60), (60, 10, 30, 30)
    assert 2 == faces_among([beside, taller, first], picture)
    assert 1 == faces_among([first, first, beside], picture)
    assert 0 == faces_among([(0, 0, 300, 300)], picture)
    counted = Picture("set", "file", "", 2)
    assert [0, 1, 2] == [faces_among([beside] * number, counted) for number in (0, 1, 5)]


def test_boxes_come_from_the_folder_or_from_the_carried_labels(tmp_path: Path) -> None:
    """The folder's own labels take precedence."""
    for name in ("a", "b", "c", "d"):
        (tmp_path / f"{name}.jpg").write_bytes(name.encode())
    (tmp_path / "index.csv").write_text(
        "set,file,n_faces\ns,a.jpg,\ns,b.jpg,\ns,c.jpg,5\ns,d.jpg,\ns,absent.jpg,\n"
    )
    (tmp_path / "faces.csv").write_text(
        "file,left,top,width,height\na.jpg,1,2,3,4\na.jpg,5,6,7,8\n"
    )
    known = {
        hashlib.sha256(name).hexdigest(): ((0.0, 0.0, 9.0, 9.0),) for name in (b"a", b"b", b"c")
    }
    pictures = {picture.file: picture for picture in read_data(tmp_path, known).pictures}
    assert ((1.0, 2.0, 3.0, 4.0), (5.0, 6.0, 7.0, 8.0)) == pictures["a.jpg"].boxes
    assert (1, ((0.0, 0.0, 9.0, 9.0),)) == (pictures["b.jpg"].n_faces, pictures["b.jpg"].boxes)
    assert (5, ()) == (pictures["c.jpg"].n_faces, pictures["c.jpg"].boxes)
    assert pictures["d.jpg"].n_faces is pictures["absent.jpg"].n_faces is None


def test_the_manifest_matches_the_page() -> None:
    """``models list`` shows the figures of ``docs/accuracy.md``, for measured models only."""
    page = (Path(__file__).parents[2] / "docs" / "accuracy.md").read_text("utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page.splitlines()
        if line.startswith("|")
    ]
    accuracy = {row[1]: row[2] for row in rows if row[0] == "lfw (1200)"}
    heads = ["embedder", "impostor pairs", "1e-2", *FALSE_ACCEPT_RATES]
    after = rows[rows.index(heads) + 2 :]
    thresholds = {row[0]: tuple(map(float, row[3:])) for row in after[: len(accuracy)]}
    assert thresholds
    found = {(row[0], row[1]): row[2] for row in rows if "of" in row[2:3][0].split()}
    for model in manifest():
        if model.task == "embed":
            expected = accuracy.get(model.name)
            assert model.measured == (f"LFW, 1200 pairs: {expected} %" if expected else "")
            assert model.thresholds == thresholds.get(model.name)
        elif model.task == "detect":
            expected = found.get((model.name, "compreface"))
            dlib = found.get((model.name, "dlib_faces"))
            assert model.measured == (
                f"faces of CompreFace {expected}, of dlib {dlib}" if expected else ""
            )


def test_the_carried_labels_are_the_43_faces_of_dlib() -> None:
    """They are in nine of its example pictures."""
    labels = carried_labels()
    assert (9, 43) == (len(labels), sum(len(boxes) for boxes in labels.values()))


def test_an_invalid_folder_is_explained(tmp_path: Path) -> None:
    """The message names the missing file or column."""
    with pytest.raises(SystemExit, match=r"neither index\.csv nor"):
        read_data(tmp_path)
    (tmp_path / "index.csv").write_text("file,n_faces\na.jpg,1\n")
    with pytest.raises(SystemExit, match="columns missing: set"):
        read_data(tmp_path)
