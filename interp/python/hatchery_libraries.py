"""libraries: the part of a reset (hatchery_reset.py) that is about one library each, where it is part of the template.

Each function records how its library stands and returns one that puts it back.
"""

import os
import sys


class Doubt(Exception):
    """The worker cannot be made new."""


def _logging():
    logging = sys.modules["logging"]
    root, manager = logging.root, logging.root.manager
    state = root.level, list(root.handlers), list(root.filters), root.disabled, manager.disable
    names = set(manager.loggerDict)

    def restore():
        if (root.level, root.handlers, root.filters, root.disabled, manager.disable) != state:
            root.setLevel(state[0])
            root.handlers[:], root.filters[:], root.disabled = state[1], state[2], state[3]
            manager.disable = state[4]
        if len(manager.loggerDict) != len(names):
            for name in set(manager.loggerDict) - names:
                del manager.loggerDict[name]

    return restore


def _decimal():
    decimal = sys.modules["decimal"]
    context = decimal.getcontext().copy()
    set_context = decimal.setcontext

    def restore():
        set_context(context.copy())

    return restore


def _numpy():
    numpy = sys.modules["numpy"]
    get_options, set_options = numpy.get_printoptions, numpy.set_printoptions
    get_errors, set_errors = numpy.geterr, numpy.seterr
    options, errors = get_options(), get_errors()

    def restore():
        if get_options() != options:
            set_options(**options)
        if get_errors() != errors:
            set_errors(**errors)

    return restore


def _numpy_random():
    """The state is looked at in memory, since getting it costs more than a tiny run."""
    import ctypes
    module = sys.modules["numpy.random"]
    set_state, array, urandom = module.set_state, sys.modules["numpy"].frombuffer, os.urandom
    generator = module.mtrand._rand._bit_generator
    if type(generator).__name__ != "MT19937":
        raise Doubt("numpy's global generator is not the usual one")
    address = generator.ctypes.state_address
    look = ctypes.string_at
    seen = [look(address, 2500)]

    def restore():
        if look(address, 2500) != seen[0]:
            set_state(("MT19937", array(urandom(2496), "u4"), 624, 0, 0.0))
            seen[0] = look(address, 2500)

    return restore


def _copy_tree(tree):
    return {key: _copy_tree(item) if isinstance(item, dict) else item for key, item in tree.items()}


def _put_tree_back(tree, before):
    for key in set(tree) - set(before):
        del tree[key]
    for key, item in before.items():
        if isinstance(item, dict):
            _put_tree_back(tree.setdefault(key, {}), item)
        else:
            tree[key] = item


def _pandas():
    options = sys.modules["pandas._config.config"]._global_config
    before = _copy_tree(options)

    def restore():
        if options != before:
            _put_tree_back(options, before)

    return restore


def _matplotlib():
    settings = sys.modules["matplotlib"].rcParams
    before = dict(dict.items(settings))

    def restore():
        if dict.__ne__(settings, before):
            dict.clear(settings)
            dict.update(settings, before)

    return restore


LIBRARIES = (("logging", _logging), ("decimal", _decimal), ("numpy", _numpy), ("numpy.random", _numpy_random),
             ("pandas._config.config", _pandas), ("matplotlib", _matplotlib))
