"""What the report says of records, and that the committed pages are of the committed ones."""

import json
import math
import re

import pytest
from scipy import stats

from mmdcls.errors import InputError
from mmdcls.study.records import read_records, write_record
from mmdcls.study.statistics import holm
from projects.position_study import report
from projects.position_study.recipes import figures_of
from projects.position_study.study import RESULTS
from projects.position_study.summaries import rows_of, verdicts_of
from projects.position_study.tables import (
    CHOSEN_ON,
    DATA,
    MAKERS,
    RECIPE,
    RIVALS,
    TABLES,
    Claim,
    overrides_of,
)

TAKEN = "jittered_grid_travel-3"


def noise(*names):
    """From -1 to 1, by name."""
    return math.sin(
        sum(ord(letter) * (i + 1) for i, letter in enumerate(" ".join(map(str, names))))
    )


def record_of(table, data, arm, seed, points):
    rule, settings = DATA[data], TABLES[table].arms[arm]
    parts = ("validation", "test")
    figures = {part: {rule.figure: (points + i) / rule.scale} for i, part in enumerate(parts)}
    elements = dict(mean_distance=1.0, near_another=0.5, outside_7x7=0.25)
    return dict(
        table=table,
        data=data,
        arm=arm,
        seed=seed,
        overrides=json.loads(json.dumps(overrides_of(settings, RECIPE.arms[TAKEN]))),
        key="",
        parameters=1000,
        multiply_adds=2_000_000,
        steps=500,
        seconds_per_step=0.1,
        before=elements,
        after={name: 2 * value for name, value in elements.items()},
        device="a processor",
        **figures,
    )


def records_of(table, points, data=tuple(DATA), seeds=range(5)):
    """points: the figure of (data, arm, seed)."""
    return [
        record_of(table, name, arm, seed, points(name, arm, seed))
        for name in data
        for arm in TABLES[table].arms
        for seed in seeds
    ]


def learned_is_best(data, arm, seed):
    better = {"learned": 3.0, "dense-17": -3.0}.get(arm, 0.0)
    return 50 + better + noise(data, seed) + 0.3 * noise(data, arm, seed)


def test_rows_are_student_s_paired_tests_after_holm():
    records = records_of("pays", learned_is_best)
    rows = rows_of(records, "pays")
    assert [(row.data, row.arm) for row in rows] == [
        (d, a) for d in DATA for a in TABLES["pays"].arms
    ]
    pairs = {}
    for row in rows:
        ours, theirs = (
            [learned_is_best(row.data, arm, seed) for seed in range(5)]
            for arm in (row.arm, "dense-7")
        )
        assert row.validation.mean == pytest.approx(sum(ours) / 5)
        # The test part has a point more.
        assert row.judged.mean == pytest.approx(sum(ours) / 5 + 1)
        if row.arm == "dense-7":
            assert row.difference is row.p is None
            continue
        pairs[row.data, row.arm] = expected = stats.ttest_rel(ours, theirs)
        low, high = expected.confidence_interval()
        assert row.difference.interval.low == pytest.approx(low, rel=1e-9)
        assert row.difference.interval.high == pytest.approx(high, rel=1e-9)
    adjusted = holm([expected.pvalue for expected in pairs.values()])
    corrected = dict(zip(pairs, adjusted, strict=True))
    for row in rows:
        if row.p is not None:
            assert row.p == pytest.approx(corrected[row.data, row.arm], rel=1e-9)


def test_verdicts_follow_from_the_intervals():
    records = records_of("pays", learned_is_best)
    said = {(v.claim.arm, v.claim.than): v for v in verdicts_of(records, "pays")}
    assert said["learned", "dense-7"].words == "holds"
    assert said["dense-17", "dense-7"].words == "does not hold"
    assert set(said["learned", "dense-7"].on.values()) == {"holds"}
    # The mean over data sets of the differences of each seed.
    differences = [
        sum(learned_is_best(d, "learned", s) - learned_is_best(d, "dense-7", s) for d in DATA)
        / len(DATA)
        for s in range(5)
    ]
    expected = stats.t.interval(0.95, 4, sum(differences) / 5, stats.sem(differences))
    interval = said["learned", "dense-7"].difference.interval
    assert (interval.low, interval.high) == pytest.approx(expected, rel=1e-9)


def test_one_seed_says_nothing():
    records = records_of("pays", learned_is_best, seeds=[0])
    assert {v.words for v in verdicts_of(records, "pays")} == {"one seed"}
    assert all(row.p is None for row in rows_of(records, "pays"))
    page = report.page_of(records, "pays")
    assert "±" not in page and "[" not in page.replace("![", "")


def test_claims_are_judged_on_the_data_sets_and_seeds_that_both_arms_have():
    records = records_of("pays", learned_is_best, data=list(DATA)[:2])
    gone = [r for r in records if not (r["arm"] == "learned" and r["data"] == list(DATA)[0])]
    gone = [r for r in gone if not (r["arm"] == "dense-7" and r["seed"] > 2)]
    (verdict, *_) = verdicts_of(gone, "pays")
    assert verdict.claim == Claim(verdict.claim.sentence, "learned", "dense-7")
    assert list(verdict.on) == [list(DATA)[1]]
    assert verdict.difference.interval.count == 3


def test_what_is_there_to_choose_from_is_judged_on_validation_and_hides_its_test():
    records = records_of("size", lambda data, arm, seed: 42 + noise(arm, seed) / 9)
    page = report.page_of(records, "size")
    assert "| test |" not in page and "43." not in page
    assert "judged on the validation part" in page
    pays = report.page_of(records_of("pays", learned_is_best), "pays")
    assert "| test |" in pays


def test_the_smallest_size_that_is_as_good():
    def points(data, arm, seed):
        count, size = map(int, arm.split("-in-"))
        return 50 + min(size, 17) + min(count, 12) + noise(data, arm, seed) / 9

    summary = report.summary_of(records_of("size", points))
    rows = [line for line in summary.splitlines() if line.startswith("| garments, mIoU")]
    assert rows == ["| garments, mIoU | 17 | 12 |"]


def test_which_recipe_an_arm_has_taken():
    records = records_of("pays", learned_is_best)
    recipes = {row.arm: row.recipe for row in rows_of(records, "pays")}
    assert recipes["learned"] == TAKEN
    assert recipes["dense-7"] == recipes["frozen-grid"] == ""
    # Positions that stay have taken the start alone.
    assert recipes["frozen-random"] == "jittered_grid"


def test_seeds_of_different_settings_are_refused():
    records = records_of("pays", learned_is_best, data=[list(DATA)[0]])
    records[3]["overrides"] = {}
    with pytest.raises(InputError, match=r"different settings; run .*study pays.* again"):
        report.page_of(records, "pays")
    records[3]["arm"] = "forgotten"
    with pytest.raises(InputError, match=r"no arm forgotten of .*; delete its records"):
        report.page_of(records, "pays")


def test_a_training_that_diverged_and_one_without_its_costs_are_told():
    records = records_of("pays", learned_is_best, data=[list(DATA)[0]])
    figure = DATA[list(DATA)[0]].figure
    records[3]["test"][figure] = None
    with pytest.raises(InputError, match=rf"has a {figure} of the test part that is not finite"):
        report.page_of(records, "pays")
    del records[3]["device"]
    with pytest.raises(InputError, match=r"lacks device: delete it"):
        report.page_of(records, "pays")


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(SystemExit, match=r"There is no folder .*nowhere"):
        report.main(["--results", str(tmp_path / "nowhere")])


def test_pages_and_pictures_of_every_table(tmp_path, capsys):
    for name in TABLES:
        for record in records_of(name, lambda *names: 60 + noise(*names), seeds=range(2)):
            file = "{data}.{arm}.{seed}.json".format(**record)
            write_record(tmp_path / name / file, record)
    report.main(["--results", str(tmp_path)])
    written = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert written == {"README.md", *(f"{n}.md" for n in TABLES), *(f"{n}.png" for n in TABLES)}
    for page in tmp_path.glob("*.md"):
        text = page.read_text()
        links = re.findall(r"\]\(([^)]+)\)", text)
        assert links and all((tmp_path / link).exists() for link in links)
        # Every row of a table is as wide as its header.
        for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
            assert len({line.count("|") for line in table.splitlines()}) == 1
    assert all(path.stat().st_size > 5000 for path in tmp_path.glob("*.png"))


def test_the_committed_pages_are_those_of_the_committed_records():
    records = list(read_records(RESULTS).values())
    for path, text in report.pages_of(records, RESULTS).items():
        assert path.read_text() == text, f"{path} is outdated: run {report.__name__}"
    assert all((RESULTS / f"{name}.png").is_file() for name in report.tables_in(records))


@pytest.mark.parametrize("rival", ["ckconv", "flexconv"])
def test_rivals_have_the_settings_that_are_the_best_of_theirs(rival):
    found = figures_of(read_records(RESULTS).values(), "rivals", "validation")[CHOSEN_ON]
    own = {arm: found[arm][0] for arm in RIVALS.arms if arm.startswith(rival)}
    assert len(own) == 8
    assert MAKERS.arms[rival] == RIVALS.arms[max(own, key=own.get)]
