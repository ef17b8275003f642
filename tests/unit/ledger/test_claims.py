"""The shipped claims are whole, add up, and are found by model, chip and phase."""

import pytest

from crossgrade.chips.loader import chip_names
from crossgrade.errors import BadRecord, FutureSchema
from crossgrade.ledger.claims import DATA, claims_for, claims_from_toml, load_claims

# Rows of the source: model, chip, chips, batch, context, TPOT in ms, published tokens/s/chip.
PUBLISHED = [
    ("deepseek-v4-flash", "ascend-950dt", 16, 16, 8192, 6.55, 152.79, 2.44),
    ("deepseek-v4-flash", "ascend-950dt", 16, 256, 8192, 8.78, 1821.75, 2.44),
    ("deepseek-v4-flash", "ascend-950dt", 16, 1536, 8192, 16.46, 5830.65, 1.7),
    ("deepseek-v4-pro", "ascend-950dt", 16, 16, 8192, 17.64, 56.7, 2.44),
    ("deepseek-v4-pro", "ascend-950dt", 16, 128, 8192, 20.61, 388.23, 2.44),
    ("deepseek-v4-flash", "ascend-910c", 64, 7168, 8192, 27.82, 4025, 1.7),
]


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: f"{row[0]}-b{row[3]}")
def test_the_published_points_are_there(row):
    model, chip, chips, batch, context, tpot_ms, throughput, tokens = row
    found = [
        c
        for c in claims_for(model, chip, "decode")
        if (c.chips, c.batch, c.context) == (chips, batch, context)
        and c.weights in ("MXFP8+MXFP4", "W8A8C16")
    ]
    assert len(found) == 1
    claim = found[0]
    assert claim.metric == "tpot_s"
    assert claim.value == pytest.approx(tpot_ms / 1e3)
    assert claim.tokens_per_step == tokens
    assert batch / chips / claim.value == pytest.approx(throughput, rel=2e-3)
    assert f"{throughput:g} tokens/s/chip" in claim.conditions


def test_every_claim_says_who_where_and_under_what_conditions():
    claims = load_claims()
    assert len(claims) == 30
    assert len({claim.id for claim in claims}) == len(claims)
    for claim in claims:
        assert claim.chip in chip_names()
        assert claim.source.url.startswith("https://")
        assert "Apache-2.0" in claim.source.note
        assert "forced to equal load" in claim.conditions
        assert "offline" in claim.conditions
        assert "measured it itself" in claim.said_by


def test_the_package_reading_of_64_chips_is_said():
    for claim in claims_for(chip="ascend-910c"):
        assert "package" in claim.conditions
        assert "128 ranks" in claim.conditions


def test_none_matches_all_and_unknown_matches_nothing():
    assert claims_for() == load_claims()
    assert claims_for("deepseek-v4-flash", "h100", "decode") == ()
    assert claims_for(phase="train") == ()


TEXT = DATA.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("schema = 1", "", "schema"),
        ("schema = 1", "schema = = 1", "not TOML"),
        ("tpot_s = 0.00655", "tpot_s = 0.0", "above zero"),
        ("tpot_s = 0.00655", "tpot_s = nan", "above zero"),
        ("tpot_s = 0.00655", 'tpot_s = "fast"', "must be a number"),
        ("tpot_s = 0.00655", "tpot_s = 0.00755", "contradicts"),
        ("tpot_s = 0.00655, ", "", "`tpot_s` is missing"),
        ("batch = 16,", "batch = 16, bach = 1,", "`bach` is unknown"),
        ('phase = "decode"', 'phase = "decoding"', "phase `decoding`"),
        ('source = "cann-recipes-infer"', 'source = "x"', "not defined"),
        ("mtp3-b256-8k", "mtp3-b16-8k", "stands twice"),
        ('said_by = "CANN', 'sad_by = "CANN', "said_by|sad_by"),
        ('model = "deepseek-v4-flash"', 'model = ""', "non-empty"),
        ("points = [", "points = 1 #", "points|not TOML"),
    ],
)
def test_bad_claim_files(old, new, message):
    assert old in TEXT
    with pytest.raises(BadRecord, match=message):
        claims_from_toml(TEXT.replace(old, new, 1), "claims.toml")


def test_claims_from_the_future():
    with pytest.raises(FutureSchema):
        claims_from_toml("schema = 9\n")
