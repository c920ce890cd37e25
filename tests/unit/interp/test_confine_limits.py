"""Resource limits and the out-of-memory score, each alone and each left out."""

import pytest
from confined import run_with
from supervisor import layers


def score_of(worker):
    with open(f"/proc/{worker.pid}/oom_score_adj") as file:
        return int(file.read())


def test_the_kernel_takes_workers_first(zygote):
    own = int(open(f"/proc/{zygote.process.pid}/oom_score_adj").read())
    for names, score in ((("oom_score",), 1000), ((), own), (("oom_score", "not_dumpable"), 1000), ((), own)):
        worker = zygote.spawn(taken=layers(*names))
        assert score_of(worker) == score
        worker.end()
    assert int(open(f"/proc/{zygote.process.pid}/oom_score_adj").read()) == own == 500


def test_the_score_in_a_cell(celled):
    worker = celled.spawn(("oom_score", "capabilities", "not_dumpable"))
    assert score_of(worker) == 1000
    worker.end()


LIMITS = "import resource\n[resource.getrlimit(limit)[1] for limit in (resource.RLIMIT_CORE, resource.RLIMIT_NOFILE,\n" \
         " resource.RLIMIT_FSIZE, resource.RLIMIT_AS, resource.RLIMIT_CPU)]"


def test_limits_alone(zygote):
    core, files, size, space, seconds = run_with(zygote, ("rlimits",), LIMITS)
    assert (core, files, size) == (0, 256, 64 << 20)
    assert 512 << 20 < space < 4 << 30 and 0 < seconds < 100


def test_no_limit_without_the_layer(zygote):
    """Not those of the worker, and not those of the run."""
    import resource
    own = [resource.getrlimit(limit)[1] for limit in (resource.RLIMIT_CORE, resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE,
                                                      resource.RLIMIT_AS, resource.RLIMIT_CPU)]
    assert run_with(zygote, ("not_dumpable",), LIMITS) == own
    run_with(zygote, (), "x = bytearray(900 << 20)\nlen(x)")
    with pytest.raises(AssertionError, match="MemoryError"):
        run_with(zygote, ("rlimits",), "x = bytearray(900 << 20)\nlen(x)")
