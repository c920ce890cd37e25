"""Several clients that do steps with sessions of their own, side by side, with runs without a session in between."""

import itertools
import os
import random
import signal
import threading
import traceback
from collections import Counter

import compatible_sessions
import native_sessions
from harness.aftermath import template
from harness.hatchery import eventually
from kinds import HONEST, problem_with
from remembered import Gone

PROBLEMS = 2  # then a client stops
WITNESSES = 120  # of as many steps as the weights of all others have together
RELOADS = 2
OF_EACH_SERVICE = 2  # sessions of one client

WITNESS_KINDS = [kind for kind in HONEST if "template" not in kind.request and kind.sent == 0]


def run_without_session(client, random_):
    kind = random_.choices(WITNESS_KINDS, [kind.weight for kind in WITNESS_KINDS])[0]
    answer = client.server.post("/v1/execute", kind.request)
    assert answer.status == 200, answer
    wrong = problem_with(kind, answer.json())
    assert not wrong, f"{kind.name}: {wrong} is not right: {answer}"


def reload(client, random_):
    """The template is started anew; sessions go on."""
    with client.account.lock:
        before = template(client.server)["zygote_pid"]
        client.server.process.send_signal(signal.SIGHUP)
        eventually(lambda: template(client.server)["zygote_pid"] not in (0, before) and template(client.server)["ready"], 90, "it is reloaded")
        client.account.counts["reloads"] += 1


def weights():
    every = {**native_sessions.STEPS, **{step: weight for steps in compatible_sessions.STEPS.values() for step, weight in steps.items()}}
    return {**every, run_without_session: WITNESSES, reload: RELOADS}


def share_out(n_steps, random_):
    """The steps in their order, each with a seed of its own; every kind at least once."""
    of_each = weights()
    total = sum(of_each.values())
    plan = [step for step, weight in of_each.items() for _ in range(max(1, n_steps * weight // total))]
    common = [native_sessions.use_variables] * max(0, n_steps - len(plan))
    plan = [(step, random_.randrange(1 << 32)) for step in [*plan, *common]]
    random_.shuffle(plan)
    return plan


class Client(threading.Thread):
    """Goes on with its sessions from part to part; keeps what was wrong instead of raising it."""

    fresh = itertools.count()

    def __init__(self, server, number, account, steps):
        super().__init__(daemon=True)
        self.server, self.number, self.account, self.steps = server, number, account, steps
        self.native, self.expiring, self.ended = [], [], []
        self.services = {kind: [kind(self, number) for number in range(OF_EACH_SERVICE)] for kind in compatible_sessions.STEPS}
        self.counts, self.problems = Counter(), []

    def fresh_id(self):
        return f"soak-{os.getpid()}-{self.number}-{next(self.fresh)}"

    def run(self):
        for step, seed in self.steps:
            self.guarded(step, seed, lambda: self.one(step, random.Random(seed)))
            if len(self.problems) >= PROBLEMS:
                return
        self.guarded(self.end_all, 0, self.end_all)

    def guarded(self, step, seed, call):
        self.session = None
        self.counts[step.__name__] += 1
        try:
            call()
        except Gone:
            self.gone(self.session)
        except BaseException:
            model = getattr(self.session, "model", None)
            self.problems.append(f"client {self.number}, {step.__name__}, seed {seed}, session {getattr(self.session, 'id', None)}, "
                                 f"after {model and model.history[-12:]}:\n{traceback.format_exc(limit=-4)[-4000:]}")
            # What it knows is not known any more.
            if self.session in self.native:
                self.native.remove(self.session)

    def gone(self, session):
        self.account.add("gone")
        if session in self.native:
            self.native.remove(session)
        else:
            session.model = None

    def one(self, step, random_):
        if step in (run_without_session, reload):
            return step(self, random_)
        if step in native_sessions.STEPS:
            return self.native_step(step, random_)
        kind = next(kind for kind, steps in compatible_sessions.STEPS.items() if step in steps)
        session = self.session = random_.choice(self.services[kind])
        if session.model is None:
            session.begin()
        session.model.history.append(step.__name__)
        step(session, random_)

    def native_step(self, step, random_):
        if step in native_sessions.ALONE:
            return step(self, None, random_)
        if not self.native:
            self.session = native_sessions.create(self, random_)
        if len(self.native) > native_sessions.MOST:
            self.session = self.native[0]
            native_sessions.end(self, self.session)
        session = self.session = random_.choice(self.native)
        session.model.history.append(step.__name__)
        step(self, session, random_)

    def end_all(self):
        for session in [*self.native]:
            self.guarded(native_sessions.delete, 0, lambda: self.ends(session))
        while self.expiring:
            native_sessions.has_expired(self, None, None)
        for session in self.services[compatible_sessions.Interpreter]:
            if session.model:
                self.guarded(compatible_sessions.interpreter_ends, 0, lambda: self.ends_service(session, compatible_sessions.interpreter_ends))
        for session in self.services[compatible_sessions.Kernel]:
            if session.model:
                self.guarded(compatible_sessions.kernel_ends, 0, lambda: self.ends_service(session, compatible_sessions.kernel_ends))
        # Containers end by themselves.
        for session in self.services[compatible_sessions.Container]:
            if session.model:
                self.account.add("gone")

    def ends(self, session):
        self.session = session
        native_sessions.end(self, session)

    def ends_service(self, session, step):
        self.session = session
        step(session, None)


def work_off(server, plan, n_clients, account, seconds):
    """Returns how often each step was done; fails when any answer was wrong. At the end no session is left, but containers."""
    clients = [Client(server, number, account, plan[number::n_clients]) for number in range(n_clients)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(seconds)
        assert not client.is_alive(), f"client {client.number} hangs, or it takes too long: {client.counts}"
    problems = [problem for client in clients for problem in client.problems]
    assert not problems, "\n\n".join(problems)
    return sum((client.counts for client in clients), Counter())
