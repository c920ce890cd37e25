"""A session of /v1/sessions together with its model: every answer is held against that."""

from harness.hatchery import eventually
from harness.sessions import Session, begun
from remembered import PROBE, SLEEP, Gone, said_by_probe

SECONDS = 60
# An interrupt has so long before its run is killed, on a machine however busy.
PATIENCE_MS = 20000


class Native(Session):
    """A session with its model; what is no longer there raises Gone."""

    def __init__(self, server, id, model):
        super().__init__(server, id)
        self.model = model
        self.runs = 0
        self.cells = []
        self.forked_from = None

    def there(self, answer, *statuses):
        if answer.status == 404 and (b"no session" in answer.body or b"has ended" in answer.body):
            raise Gone(self.id)
        assert answer.status in (statuses or (200,)), answer
        return answer

    def run(self, code, timeout=SECONDS, **fields):
        return self.there(self.execute(code, timeout, **fields)).json()

    def inspect(self):
        return self.there(self.server.get(self.path)).json()

    def await_rest(self):
        eventually(lambda: self.inspect()["state"] in ("idle", "lost"), 30, lambda: f"it comes to rest: {self.inspect()}")

    # ── What every answer must be ──

    def begins(self, told):
        model = self.model
        assert told["run"] == self.runs + 1, f"run {told['run']} after {self.runs}"
        self.runs += 1
        assert bool(told["began_anew"]) == model.begins(), f"began_anew: {told['began_anew']}"

    def check(self, answer, statuses, variables=None, is_lost=False, said=None):
        """answer: of a run that has begun. variables: what it has set. is_lost None: the answer decides. said: its output,
        when it ends with the probe."""
        model, told = self.model, answer["session"]
        assert answer["status"] in statuses, answer
        self.begins(told)
        self.cells.append(told["run"])
        if is_lost is not None:
            assert bool(told["lost"]) == (is_lost and not model.forgets), answer
        if is_lost or told["lost"]:
            model.lose()
        else:
            model.variables.update(variables or {})
        if said is not None:
            model.expect(said_by_probe(said))
        model.after()

    def probe(self, code="", variables=None, **fields):
        """A run that ends well, and says what there is."""
        answer = self.run(f"{code}\n{PROBE}", **fields)
        self.check(answer, {"ok"}, variables, said=answer["stdout"])

    def started(self, variables, code=SLEEP, streamed=begun):
        """A run in the middle of its program, that has set variables by then."""
        before = "".join(f"{name} = {value!r}\n" for name, value in variables.items())
        try:
            return streamed(self, code, before)
        except AssertionError as problem:
            if b"no session" in str(problem).encode():
                raise Gone(self.id) from None
            raise

    def stopped(self, run, variables):
        """Interrupts what has been started."""
        answer = self.interrupt(kill_after_ms=PATIENCE_MS)
        assert answer["interrupted"] and answer["lost"] == self.model.forgets, answer
        done = run.ended()
        self.check(done, {"error"}, variables)
        assert done["error"]["type"] == "KeyboardInterrupt", done
