"""RL4RS: files made here after the schema that its code reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from behavior import Dataset, InputError, load
from behavior.contract import check_log

HEADER = (
    "timestamp@session_id@sequence_id@exposed_items@user_feedback@user_seqfeature@user_protrait@item_feature@"
    "behavior_policy_id"
)
PORTRAIT = "1,2,3,4,5,6,7,8,9,{group},0.5,-1.25"


def _page(
    session: int, sequence: int, items: str, bought: str, group: int = 1, at: int = 1_600_000_000
) -> str:
    user = PORTRAIT.format(group=group)
    return f"{at + sequence}@{session}@{sequence}@{items}@{bought}@17,18@{user}@0.1,0.2;0.3,0.4@1"


def _folder(folder: Path, *pages: str) -> Path:
    (folder / "item_info.csv").write_text(
        "item_id item_vec price location special_item\n"
        + "".join(f"{item} {item / 10},-0.5 {item}.5 {1 + item % 3} 0\n" for item in range(1, 11))
    )
    path = folder / "rl4rs_dataset_b_sl.csv"
    path.write_text("\n".join([HEADER, *pages]) + "\n")
    return path


def _load(path: Path, **options: object) -> Dataset:
    return load(f"rl4rs:{path}", progress=False, **options)  # type: ignore[arg-type]


def test_slates_become_pages(tmp_path: Path) -> None:
    nine = "1,2,3,4,5,6,7,8,9"
    path = _folder(
        tmp_path,
        _page(7, 1, nine, "1,1,0,0,0,0,0,0,1"),
        _page(7, 2, "9,8,7,6,5,4,3,0,0", "0,0,0,0,0,0,1,0,0"),
        _page(8, 1, nine, "0,0,0,0,0,0,0,0,0", group=2),
    )
    dataset = _load(path)
    steps = check_log(dataset.log, dataset.catalog)
    assert (steps.n_steps, steps.n_sessions, steps.slate_size) == (3, 2, 9)
    assert not steps.single_impressions
    assert steps.purchase.tolist() == steps.click.tolist()
    assert steps.click.sum(axis=1).tolist() == [3, 1, 0]
    assert steps.item[1].tolist() == [8, 7, 6, 5, 4, 3, 2, -1, -1]
    assert dict(zip(steps.context_names, steps.context[2].tolist(), strict=True)) == {
        **{f"portrait_{n:02d}=group {n + 1}": 1.0 for n in range(9)},
        "portrait_09=group 1": 0.0,
        "portrait_09=group 2": 1.0,
        "portrait_10": 0.5,
        "portrait_11": -1.25,
    }
    assert dataset.catalog.frame["price"].iloc[3] == 4.5
    assert dataset.catalog.numeric_columns == ("vec_00", "vec_01")
    assert dataset.catalog.categorical_columns == ("location", "special_item")
    told = " ".join(dataset.log.notes)
    assert "2 places hold item 0" in told
    assert "nothing of clicks" in told


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="several logs"):
        _load(tmp_path)
    path = _folder(tmp_path, _page(7, 1, "1,2,3", "1,0"))
    with pytest.raises(InputError, match=r"row 1, column 'user_feedback': found '1,0', expected as many"):
        _load(path)
    path = _folder(tmp_path, _page(7, 1, "1,2,77", "1,0,0"))
    with pytest.raises(InputError, match="found '77', expected an item of the catalogue"):
        _load(path)
    path = _folder(tmp_path, _page(7, 2, "1,2,3", "1,0,0"))
    with pytest.raises(InputError, match="column 'step': found 1, expected the same step"):
        _load(path)
    path = _folder(tmp_path, _page(7, 1, "1,0,3", "1,0,0"))
    with pytest.raises(InputError, match="positions 0, 1, 2, … without gaps"):
        _load(path)
    path = _folder(tmp_path, _page(7, 0, "1,2,3", "1,0,0"))
    with pytest.raises(InputError, match="column 'sequence_id': found '0', expected a number of at least 1"):
        _load(path)
    (tmp_path / "item_info.csv").unlink()
    with pytest.raises(InputError, match=r"needs item_info\.csv"):
        _load(path)
