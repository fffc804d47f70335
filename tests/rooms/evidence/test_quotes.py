"""Quotes under honest noise are found; tampered ones are not, and their place and difference are told."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from benchmarks import noise
from benchmarks.quotes import measure
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.rooms.local import samples

from spadework.evidence.quotes import Canon, check

ROOT = Path(__file__).parents[3]
HONEST = [
    ("The drug was effective", "The drug\nwas  effective."),
    ("“The drug” was — effective here", '"The drug" was - effective here'),
    ("international law is good", "inter-\nnational law is good"),
    ("inter- national law is good", "international law is good"),
    ("well-\nknown facts here", "well-known facts here"),
    ("wellknown facts here ok yes", "well-\nknown facts here ok yes"),
    ("The efficient drug worked", "The eﬃcient drug worked"),
    ("cafe au lait is served", "café au lait is served"),
    ("results were clear and good", "results [12] were clear[3, 4] and good"),
    ("**bold** claims are made", "bold claims are made"),
    ("R&amp;D spending rose &gt; 5&nbsp;%", "R&D spending rose > 5 %"),
    ("THE DRUG WAS EFFECTIVE", "The drug was effective"),
    ("The drug ... was effective in adults", "The drug, when taken early, was effective in adults"),
    ("it cannot be done today", "it can not be done today"),
    ("1,500 people came today", "1500 people came today"),
    ("ages 5-10 were included", "ages 5–10 were included"),
    ("ages 5 – 10 were included", "ages 5–10 were included"),
    ("the value of 10^5 cells", "the value of 10⁵ cells"),
    ("about 5½ cups of milk", "about 5 1/2 cups of milk"),
    ("read [the text](http://x.com/a) now", "read the text now"),
    ("• first point made\n• second point", "first point made\nsecond point"),
    ("First point is here", "1. First point is here"),
    ("Intro text.\n1. First point", "Intro text.\nFirst point"),
    ("| cell one | cell two |", "cell one cell two"),
    ("1 km² of land area", "1 km2 of land area"),
    ("ＡＢＣ full width text１２", "ABC full width text12"),
    ("the soft\xadware is ready", "the software is ready"),
    ("zero\u200bwidth is there now", "zerowidth is there now"),
    ("it was used ofthe model for all", "it was used of the model for all"),
    ("don’t do this to me", "don't do this to me"),
    ("did n't do this to me", "didn't do this to me"),
    ("the Toto(TM) band", "the Toto(TM) band"),
    ("Lipitor™ is a drug here", "Lipitor is a drug here"),
    ("a state of the art system", "a state-of-the-art system"),
    ("It was ( very ) good , indeed", "It was (very) good, indeed"),
    ("日本語の文章はここにあります", "これは日本語の文章は\nここにありますよ"),
    ("p < 0.05 was significant", "with p<0.05 was significant"),
    ("U.S. army was there today", "the US army was there today"),
    ("value of -3.5 degrees", "value of −3.5 degrees"),
    ("in 1990 , 25 men came", "in 1990, 25 men came"),
    ("effective in adults, he said.", "was effective in adults,” he said."),
    ("The drug was effective. It was approved", "The drug was effective.¹² It was approved"),
    ("about 3 . 5 percent of all", "about 3.5 percent of all"),
    ("Vitamin B 12 is good", "Vitamin B12 is good"),
    ("10&#179; cells were seen", "10³ cells were seen"),
    ("results 1. First point is here", "results\n1. First point is here"),
    ("workflow \\[8\\] was defined", "workflow [8] was defined"),
    ("The dose was 5 MG PER DAY HERE", "the dose was 5 mg per day here"),
    ("The drug works in adults", "The drug works in adults not only in theory"),
    ("the F-16 flew over us there", "the F16 flew over us there"),
    ("disk N\u2009\u2212\u20091 of all of them", "disk N\u22121 of all of them"),
    ("the naïve model was used here", "the na¨\u0131ve model was used here"),
    ("by Gómez-Cadenas and others", "by Go´mez-Cadenas and others"),
    ("Dvořák and Čech wrote all this", "Dvo\u02c7r´ak and \u02c7Cech wrote all this"),
    ("It works well. ... We agree with that", "It works well. This is not so elsewhere. We agree with that"),
]
TAMPERED = [
    ("able to do it well", "unable to do it well"),
    ("5 mg of the drug", "15 mg of the drug"),
    ("5 mg of the drug", "2.5 mg of the drug"),
    ("effective in adults", "ineffective in adults"),
    ("notable results here today yes", "no table results here today yes"),
    ("we resign the contract today ok", "we re-sign the contract today ok"),
    ("range of 510 people in it", "range of 5 10 people in it"),
    ("range of 510 people in it", "range of 5–10 people in it"),
    ("range of 5 10 people in it", "range of 5-10 people in it"),
    ("grew by 15 percent last year", "grew by 1.5 percent last year"),
    ("grew by 1,5 percent last year", "grew by 1.5 percent last year"),
    ("p > 0.05 was significant", "p < 0.05 was significant"),
    ("-3 degrees outside", "3 degrees outside"),
    ("3 degrees outside", "-3 degrees outside"),
    ("cost $40 in total", "cost €40 in total"),
    ("rose by 10 in total", "rose by 10 % in total"),
    ("rose by about 10", "rose by about 10 %"),
    ("it is now here to stay with us", "it is nowhere to stay with us"),
    ("we were here all day long", "we're here all day long"),
    ("10^5 cells were seen", "105 cells were seen"),
    ("105 cells were seen", "10⁵ cells were seen"),
    ("105 cells were seen", "10^5 cells were seen"),
    ("10³ cells were seen", "10⁻³ cells were seen"),
    ("51/2 cups of milk", "5½ cups of milk"),
    ("51/2 cups of milk", "5 1/2 cups of milk"),
    ("results [13] were seen here", "results [12] were seen here"),
    ("The drug ... effective in adults", "The drug was not effective in adults"),
    ("was effective in adults ... The drug when", "The drug, when taken early, was effective in adults"),
    ("power of 5 MW in all here", "power of 5 mW in all here"),
    ("results of 5 µg in all here", "results of 5 mg in all here"),
    ("x = 5 in this case", "x ≠ 5 in this case"),
    ("a ± 5 in this case", "a + 5 in this case"),
    ("about ~5 in this case", "about 5 in this case"),
    ("resume the schön film here", "resume the schon film hére"),
    ("the atypical case in point was", "the a typical case in point was"),
    ("they were together with her then", "they were to get her with her then"),
    ("read [the text](http://x.com/b) now", "read [the text](http://x.com/a) now"),
    ("5' tall was the wall", '5" tall was the wall'),
    ("cost 40 in total", "cost $40 in total"),
    ("40 in total was spent", "cost $40 in total was spent"),
    ("12/03 was the date there", "12.03 was the date there"),
    ("was able to see it", "was un-able to see it"),
    ("x2 is not the same x", "x^2 is"),
    ("Is it good? We think", "It is good. We think"),
    ("in 1990 people came 25", "in 1990, 25 people came"),
    ("C is a good language", "C++ is a good language"),
    ("the language is called C", "the language is called C#"),
    ("0.5 and so on it went", "the 10.5 and so on it went"),
    ("sold 500 cars in May", "sold 1,500 cars in May"),
    ("he can do this now", "he can't do this now ok"),
    ("the results he can", "the results he can't see"),
    ("103 cells were seen here", "10&#179; cells were seen here"),
    ("51/2 cups of milk were", "5&frac12; cups of milk were"),
    ("It was ... shown to be effective", "It was never shown to be effective"),
    ("raised above 95.", "and it can be raised above 95 mg."),
    ("(97) north of the border", "60 mi (97 km) north of the border"),
    ("was seen for typing [2] [2] and more", "was seen for typing [1] [2] and more"),
    ("The drug works in adults.", "The drug works in adults not."),
    ("by Gòmez, Pérez and others", "by Gómez, Pe´rez and others"),
    ("were were there all day long", "we´re were there all day long"),
    ("whereas the other methods do.", "whereas the other methods do not."),
    ("Das Mittel wirkt bei Kindern.", "Das Mittel wirkt bei Kindern nicht."),
    ("after we fill disk N 1 of all", "after we fill disk N\u22121 of all"),
]
TEXTS = [
    (
        "Jeff Porcaro was an American drummer, songwriter, and record producer who worked with the rock band "
        "Toto. In a career that spanned more than 20 years, he was best known for his work on hundreds of "
        'albums. He was inducted into the "Modern Drummer" Hall of Fame in 1993, and his brother said that it '
        "was not a surprise."
    ),
    (
        "The census of 2010 counted 4,812 people in the county, which lies 190 km southeast of the capital. "
        "Its first school, built in 1872, is known as the Old House. Most of the land is used for farming, "
        "and the river often floods it in spring without doing harm."
    ),
    (
        "Water boils at a lower temperature on a mountain because the pressure is lower there. Cooks have "
        "long known this; they can't shorten the time, and they add salt with care. The effect was measured "
        "before 1800 by several travellers, among them a physician from Geneva."
    ),
    (
        "The committee published its second report in May. It found that 12 of the 40 bridges were unsafe, "
        "and that the others needed repairs within five years. The minister, who had promised more money, "
        "said he would never agree to new tolls, which are usually unpopular."
    ),
]


@pytest.mark.parametrize(("quote", "text"), HONEST)
def test_a_quote_under_honest_noise_is_found_where_it_stands(quote: str, text: str) -> None:
    finding = check(quote, text)
    assert finding.accepted, finding
    assert finding.start is not None and finding.end is not None
    # The place itself is a true quote of the text.
    assert check(text[finding.start : finding.end], text).accepted


@pytest.mark.parametrize(("quote", "text"), TAMPERED)
def test_a_tampered_quote_is_refused(quote: str, text: str) -> None:
    assert not check(quote, text).accepted


def test_a_verbatim_quote_is_exactly_the_slice() -> None:
    text = "Some words. The drug was effective in adults. More words."
    finding = check("“The drug was effective in adults.”", text)
    assert finding.verdict == "verbatim"
    assert text[finding.start : finding.end] == "The drug was effective in adults."


def test_an_altered_quote_says_which_words_differ() -> None:
    text = "We saw that the patients received 5 mg of the drug every day for a week."
    finding = check("the patients received 5 µg of the drug every day", text)
    assert finding.verdict == "altered"
    assert finding.diff == ({"op": "replaced", "quote": "µg", "source": "mg"},)
    assert text[finding.start : finding.end] == "the patients received 5 mg of the drug every day"


@pytest.mark.parametrize(
    ("quote", "verdict"),
    [
        ("  “Toto” ", "too_short"),
        ("The moon is made of green cheese", "not_found"),
        ("In a career that\nspanned more than 20 years", "verbatim_normalised"),
        ("In a career that spanned ... he was best known", "verbatim_elided"),
        ("In a career that span-ned more than 20 years,", "near_verbatim"),
        ("In a career that spanned more than 21 years", "altered"),
    ],
)
def test_every_verdict_is_given_for_what_it_says(quote: str, verdict: str) -> None:
    assert check(quote, TEXTS[0]).verdict == verdict


def test_a_place_is_in_code_points_of_the_original_text() -> None:
    text = "𝔘 ﬁrst — «Café au lait» [12] costs 10⁵ &euro; today, he said. 👩‍🔬"
    finding = check('"Cafe au lait" costs 10^5 € today', text)
    assert finding.verdict == "verbatim_normalised"
    assert text[finding.start : finding.end] == "Café au lait» [12] costs 10⁵ &euro; today"


@pytest.mark.parametrize("seed", [11, 12])
def test_generated_cases_reach_full_precision_and_at_least_99_percent_recall(seed: int) -> None:
    """The generator knows nothing of the checker; see benchmarks/noise.py."""
    figures = measure(list(noise.cases(TEXTS, 1500, random.Random(seed))), misses=False)
    assert figures["precision"] == 100.0, figures
    assert float(str(figures["recall"])) >= 99.0, figures


def test_the_benchmark_looks_up_what_another_extractor_read_of_the_same_page(tmp_path: Path) -> None:
    """Whatever second extractors are not installed are named as not measured."""
    prose = "".join(
        f"<p>The harbour opened in {1900 + n}, and {n} ships came in that year, he said.</p>" for n in range(30)
    )
    lost = "<footer><p>No reader ever sees this line at the very end of it.</p></footer>"
    (tmp_path / "page.html").write_text(f"<html><body><article>{prose}</article>{lost}</body></html>", encoding="utf-8")
    (tmp_path / "paper.pdf").write_bytes(samples.pdf([["The harbour opened in the spring of 1901 after all."]]))
    run = subprocess.run(
        [sys.executable, "benchmarks/quotes.py", "--extractors", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    told = json.loads(run.stdout)
    assert {"pypdf", "pdfminer.six", "pdftotext"} == told["pdf"]["extractors"].keys()
    assert all(row.get("not_measured") or row["recall"] == 100.0 for row in told["pdf"]["extractors"].values())
    page = told["html"]["extractors"]["readability"]
    assert (page["quotes"], page["recall"], page["altered"], page["accepted"]) == (30, 100.0, 30, 0)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200), st.text(max_size=60))
def test_any_texts_get_a_verdict_and_a_place_inside_the_text(text: str, quote: str) -> None:
    finding = check(quote, text)
    if finding.start is not None:
        assert finding.end is not None
        assert 0 <= finding.start < finding.end <= len(text)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="ab \n-.,1²½é\u0301\u00ad\u200b*[]_&;ﬁ'’", min_size=12, max_size=60), st.data())
def test_what_follows_white_space_and_precedes_it_is_always_a_true_quote(text: str, data: st.DataObject) -> None:
    text = "start " + text + " end"
    finding = check(text.strip("\"'’ \n"), text)
    assert finding.verdict in ("verbatim", "too_short"), finding


def test_a_quote_that_begins_or_ends_with_a_long_rule_is_found() -> None:
    text = "x" + "\n" + "-" * 80 + " a few words " + "=" * 3 + "." * 80 + " y"
    assert check(text[2:-2], text).verdict == "verbatim"


HOSTILE = {
    "one letter": ("a" * 300_000, "a" * 3000 + "b"),
    "open links": ("](" * 150_000, "this is a quote of text"),
    "open brackets": ("[1," * 100_000, "this is a quote of text"),
    "open tags": ("<a x=" * 60_000, "this is a quote of text"),
    "blank line ends": ("\n" + " " * 300_000, "this is a quote of text"),
    "stacked marks": ("e\u0301" * 150_000, "this is a quote of text"),
    "repeated words": ("ab cd " * 50_000, "ab cd " * 50 + "xx " + "ab cd " * 50),
    "repeated segments": ("abcdefgh ijkl. " * 20_000, "abcdefgh ijkl ... " * 11 + "zzzzzzzz"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_take_linear_time(name: str) -> None:
    text, quote = HOSTILE[name]
    began = time.perf_counter()
    assert not check(quote, text).accepted
    assert time.perf_counter() - began < 5


def test_a_prepared_text_answers_like_the_text_itself() -> None:
    canon = Canon(TEXTS[1])
    for quote in ("counted 4812 people in the county", "counted 4,813 people in the county", "no such words in it"):
        assert canon.check(quote) == check(quote, TEXTS[1])
