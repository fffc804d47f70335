"""A report with every kind of verdict, and one that tries everything a hostile vendor could."""

from __future__ import annotations

from spadework_tools.models import (
    Basis,
    Citation,
    Confidence,
    Cost,
    Provenance,
    Report,
    Source,
    Target,
    Verdict,
    Verdicts,
)

QUESTION = "How long is the Harrow Bridge, who opened it, and what did it cost to cross?"
SPAN = "The main span of the Harrow Bridge is 640 metres long and carries two lanes and a tramway."
TEXT = """# The Harrow Bridge

The main span of the Harrow Bridge is **640 metres** long and carries two lanes and a tramway [c1]. It was opened in \
1931 by the mayor of Oldport, Clara Voss [c2]. In its first years a toll was taken: four pence for a horse, a penny \
for a person on foot [c3].

## What changed later

| Year | Work | Source |
|---|---|---|
| 1952 | The tramway was electrified | [c4] |
| 1988 | Steel plates replaced the timber deck | [c5] |

> “The deck had been patched for thirty years before anybody counted the patches.” [c5]

- Repairs took two summers, and the bridge stayed open to trams throughout [c5].
- The town keeps the [opening papers](https://archive.example/harrow/1931) on show.
"""
EXAMPLE = (
    ("resolves", "verbatim", "lexically_supported", SPAN),
    ("resolves", "altered", "lexically_supported", "It was opened in 1913 by the mayor of Oldport, Clara Voss."),
    ("dead_archived", "not_checked", "uncertain", "A horse paid four pence, a person on foot one penny."),
    (
        "redirected",
        "verbatim_normalised",
        "lexically_supported",
        "In 1952 the tramway over the bridge was electrified.",
    ),
    ("resolves", "not_found", "lexically_unsupported", "Steel plates replaced the deck in the spring of 1988."),
)
_DIRECTIVE = "#:~:text=The%20main%20span%20of,lanes%20and%20a%20tramway."
_PLACES = ("archive.example/harrow/span", "archive.example/harrow/1931", "tolls.example/senn", "trams.example/lines")


def example() -> Report:
    """A report as a reader would want to see it."""
    urls = [f"https://{place}" for place in (*_PLACES, "works.example/1988")]
    urls[1] = "https://archive.example/harrow/1931"
    titles = ("Measurements of the Senn crossings", "Opening papers", "Tolls of the Senn", "Tram lines", "Works, 1988")
    sources = tuple(
        Source(id=f"s{n}", url=url, title=title, sha256=f"{n}" * 64, published="2021-04-0" + str(n), seen_as="cited")
        for n, (url, title) in enumerate(zip(urls, titles, strict=True), 1)
    )
    return Report(
        text=TEXT,
        sources=sources,
        citations=tuple(_citation(n, *row) for n, row in enumerate(EXAMPLE, 1)),
        basis=(Basis(target=Target(), confidence=Confidence(level="high"), citation_ids=("c1",)),),
        cost=Cost(amount=0.42, kind="reported"),
        provenance=Provenance(
            engine="perplexity", tier="medium", finished_at=1_795_000_000, adapter="perplexity@1",
            vendor_ids={"response": "resp_81"}, warnings=("s3 could not be read: its page is gone",),
        ),
    )  # fmt: skip


def _citation(n: int, url: str, quote: str, support: str, words: str) -> Citation:
    details: dict[int, dict[str, dict[str, object]]] = {
        2: {"quote": {"diff": [{"op": "replaced", "quote": "1913", "source": "1931"}]}},
        3: {"url": {"archived_url": "https://web.archive.org/web/2019/https://tolls.example/senn", "status": 404}},
        5: {"support": {"missing_numbers": ["1988"], "missing_names": ["Steel"], "coverage": 0.21}},
    }
    held = details.get(n, {})
    placed = quote.startswith("verbatim")
    return Citation(
        id=f"c{n}", source_id=f"s{n}", quote=words, start=120 if placed else None,
        end=120 + len(words) if placed else None, section="The crossing" if n == 1 else None,
        fragment_url=f"https://{_PLACES[0]}{_DIRECTIVE}" if n == 1 else None,
        verdicts=Verdicts(
            url=Verdict(verdict=url, method="http-v1", detail=held.get("url", {})),
            quote=Verdict(verdict=quote, method="quote-check@1", detail=held.get("quote", {})),
            support=Verdict(verdict=support, method="lexical-v1", detail=held.get("support", {})),
        ),
    )  # fmt: skip


EVIL = "https://evil.example/x"
HOSTILE = [
    "<script>document.title='owned'</script>",
    "<img src=https://evil.example/x onerror=document.title='owned'>",
    "![pixel](https://evil.example/x)",
    "![pixel][p]\n\n[p]: https://evil.example/x",
    "[click](javascript:document.title='owned')",
    "[click](https://evil.example/x)",
    "<https://evil.example/x>",
    "[c1]: https://evil.example/x\n\nsee [c1]",
    "\"><script>document.title='owned'</script>",
    "<style>@import url(https://evil.example/x);</style>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/x'>",
    "<link rel=stylesheet href=https://evil.example/x>",
    "<iframe src=https://evil.example/x></iframe>",
    "<svg onload=document.title='owned'>",
    "</style><script>document.title='owned'</script>",
    "</main></body></html><script>document.title='owned'</script>",
    "&lt;script&gt;document.title='owned'&lt;/script&gt;",
    "`<script>document.title='owned'</script>`",
    "```html\n<script>document.title='owned'</script>\n```",
    "<a href=javascript:alert(1)>x</a>",
    "[x](data:text/html,<script>alert(1)</script>)",
    "\x1b]8;;https://evil.example/x\x07link\x1b]8;;\x07",
    "\u202e\u200bhidden\U000e0041",
]


def hostile() -> Report:
    """A report whose every text is an attack."""
    attack = " ".join(HOSTILE)
    verdict = Verdict(verdict=attack, method=attack, detail={"diff": [{"quote": attack, "source": attack}]})
    source = Source(id="s1", url="https://known.example/", title=attack, path=attack, published=attack)
    odd = Source(id="s2", url=f'https://known.example/"onmouseover="{EVIL}', title=attack)
    script = Source(id="s3", url="javascript:document.title='owned'", title="a script's address")
    citations = tuple(
        Citation(
            id=f"c{n}", source_id=f"s{n}", quote=attack, section=attack,
            fragment_url="javascript:document.title='owned'" if n == 3 else None,
            verdicts=Verdicts(url=verdict, quote=verdict, support=Verdict(detail={"missing_names": [attack]})),
        )
        for n in (1, 2, 3)
    )  # fmt: skip
    return Report(
        text="\n\n".join([*HOSTILE, "[c1] [c2] [c3] [c99]"]),
        data={attack: [attack]},
        sources=(source, odd, script),
        citations=citations,
        basis=(Basis(target=Target(), confidence=Confidence(raw=attack), citation_ids=("c1",)),),
        cost=Cost(amount=1.0, unit=attack),
        provenance=Provenance(engine=attack, model=attack, vendor_ids={attack: attack}, warnings=(attack,)),
    )
