from tests.journeys.desks import Place, until
from tests.journeys.market import *
from tests.journeys.server import COMMAND
def test_two(tmp_path):
    standin = Perplexity(); standin.script = Script(polls=2)
    with standin.serving() as url, Place(tmp_path) as place:
        keyless = place.agent(command=COMMAND)
        keyless.ask("check_research")
        keyed = place.agent(command=COMMAND, **setting(standin, url))
        ids=[keyed.ask("start_research", question=f"How are heat pumps sold {n}?", engine="perplexity:fast")["job_id"] for n in range(8)]
        for i in ids:
            try: e=keyed.ended(i, 20)
            except AssertionError as x: print(x); continue
            print(e["status"], e.get("error"))
        assert 0
