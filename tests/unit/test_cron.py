"""S4 rule 11: five fields, or Quartz's six or seven. Examples follow the tables of Quartz's CronTrigger tutorial."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release_catalog.domain import cron


@pytest.mark.parametrize(
    "expression",
    [
        "* * * * *",
        " 0  2\t* * * ",
        "*/5 0-23/2 1,15 * mon-fri",
        "5/15 * * JAN,dec 7",
        "0 0 L * *",
        "0 0 * * MON#1",
        # Quartz
        "0 0 12 * * ?",
        "0 15 10 ? * *",
        "0 15 10 * * ? *",
        "0 0/5 14,18 * * ?",
        "0 0-5 14 * * ?",
        "0 10,44 14 ? 3 WED",
        "0 15 10 ? * MON-FRI",
        "0 15 10 L * ?",
        "0 15 10 L-2 * ?",
        "0 15 10 LW * ?",
        "0 15 10 L-3W * ?",
        "0 15 10 1W,15W * ?",
        "0 15 10 ? * 6L",
        "0 15 10 ? * friL",
        "0 15 10 ? * L",
        "0 15 10 ? * 6#3",
        "0 15 10 ? * FRI#5",
        "0 0 12 1/5 * ?",
        "0 11 11 11 11 ?",
        "0/5 14,18,3-39,52 * ? JAN,MAR,SEP MON-FRI 2002-2010",
        "0 0 0 ? NOV-FEB FRI-MON 1970,2099/3",
        "*/59 /59 22-2/23 1-31/31 */12 ?",
    ],
)
def test_taken(expression: str) -> None:
    cron.check(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "often",
        "@daily",
        "* * * *",
        "* * * * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "0 12 * * ?",
        "*/0 * * * *",
        "0 0 31 FEB *",
        "٣ * * * *",
        # Quartz
        "* * * * * *",
        "0 0 12 ? * ?",
        "0 0 12 1 * MON",
        "? 0 12 * * ?",
        "0 0 12 * ? *",
        "60 0 12 * * ?",
        "0 60 12 * * ?",
        "0 0 24 * * ?",
        "0 0 12 0 * ?",
        "0 0 12 32 * ?",
        "0 0 12 * 0 ?",
        "0 0 12 * 13 ?",
        "0 0 12 ? * 0",
        "0 0 12 ? * 8",
        "0 0 12 * * ? 1969",
        "0 0 12 * * ? 2100",
        "0 0 12 * * ? 2010-2002",
        "0 0 L * * ?",
        "0 0 12 L-31 * ?",
        "0 0 12 32W * ?",
        "0 0 12 W * ?",
        "0 0 12 ? * 6#0",
        "0 0 12 ? * 6#6",
        "0 0 12 ? * 6#3,2#1",
        "0 0 12 ? * 6L,MON",
        "0 0 12 ? * L-2",
        "0 0 12 ? * MONDAY",
        "0 0 12 * JUNE ?",
        "0 0 12 * MON ?",
        "0 0/0 12 * * ?",
        "0 0/60 12 * * ?",
        "0 0/ 12 * * ?",
        "0 1- 12 * * ?",
        "0 1,,2 12 * * ?",
        "0 *-5 12 * * ?",
        "0 0 12 ?,1 * ?",
        "٣ 0 12 * * ?",
    ],
)
def test_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        cron.check(expression)


@given(
    st.lists(st.text("0123456789*?/-,#LWSUNMON", min_size=1, max_size=6), min_size=5, max_size=7)
    | st.lists(st.text())
)
def test_any_text_is_judged(fields: list[str]) -> None:
    with contextlib.suppress(ValueError):
        cron.check(" ".join(fields))
