"""install_pip: pip, run inside this process."""

import importlib.machinery
import sys

# Kinds of failures, as wire/install.h has them.
OWN, NOT_FOUND, CONFLICT, NO_INDEX, BAD_WHEEL, TOO_LARGE, NO_SPACE = range(1, 8)

DEBIAN_PACKAGES = "/usr/lib/python3/dist-packages"


class Failure(Exception):
    def __init__(self, kind, sentence):
        super().__init__(sentence)
        self.kind, self.sentence = kind, sentence


class OnlyPip:
    """Finds pip among Debian's packages, and nothing else there: for a virtual environment that has none, and before one that
    it has, which may be of any version. What is done here with pip's insides is true of one."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "pip":
            return importlib.machinery.PathFinder.find_spec("pip", [DEBIAN_PACKAGES])
        return None


def find_pip():
    sys.meta_path.insert(0, OnlyPip)
    try:
        import pip
        return pip
    except ImportError:
        raise Failure(OWN, "There is no pip on the server (Debian: python3-pip).") from None


def settings_of_pip(arguments):
    """The addresses that pip is told: by these arguments, and by its settings on this machine."""
    from pip._internal.commands import create_command
    options, _ = create_command("install", isolated=True).parse_args(arguments)
    proxy = [options.proxy if "://" in options.proxy else "http://" + options.proxy] if options.proxy else []
    return [options.index_url, *options.extra_index_urls, *options.find_links, *proxy]


def refuse_addresses_of_wheels():
    """What a wheel needs is named, and comes from the index: pip would get it from any address. What is installed may have
    come from one, when a template was made; of what is not there, an installed wheel's word is as good as another's."""
    from pip._internal.resolution.resolvelib.factory import Factory
    from pip._vendor.packaging.requirements import Requirement
    from pip._vendor.packaging.utils import canonicalize_name
    # The second since pip 23.3.
    name = next(one for one in ("make_requirement_from_spec", "make_requirements_from_spec") if hasattr(Factory, one))
    make = getattr(Factory, name)

    def make_of_name(factory, specifier, comes_from, *arguments, **options):
        wanted = Requirement(specifier) if comes_from is not None else None
        if wanted and wanted.url:
            if comes_from.satisfied_by is None or canonicalize_name(wanted.name) not in factory._installed_dists:
                raise Failure(BAD_WHEEL, f"{comes_from.name} needs {wanted.name} from an address; packages come from the index.")
            wanted.url = None
            specifier = str(wanted)
        return make(factory, specifier, comes_from, *arguments, **options)

    setattr(Factory, name, make_of_name)


def run_pip(arguments, before_it_cleans_up=lambda: None):
    """Runs `pip install` in this process. Returns its status and the exception that it has shown as text, or None."""
    from pip._internal.commands import create_command, install
    command = create_command("install", isolated=True)
    run, tell, caught = command.run, install.create_os_error_message, []

    def watched(*arguments):
        try:
            return run(*arguments)
        except BaseException as exception:
            caught.append(exception)
            raise
        finally:
            before_it_cleans_up()

    def told(error, *arguments):
        # Of these there would be nothing but a line of output, which may be made of the names of a wheel's files.
        caught.append(error)
        return tell(error, *arguments)

    command.run, install.create_os_error_message = watched, told
    try:
        status = command.main(arguments)
    except SystemExit as exit:
        status = exit.code
    finally:
        install.create_os_error_message = tell
    return status, caught[0] if caught else None
