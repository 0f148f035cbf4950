"""The protection that a setting `tls = NAME` of a site asks for, made from the site's own tables."""

from pathlib import Path

from qianzhi.link.tables import Site
from qianzhi.runtime.tls import Protection


def config_folder(site: Site) -> Path:
    """Return the folder of the configuration that a site was read from, where paths of files begin."""
    folder = Path(site.file).parent
    return folder.parent if folder.name == "sites" else folder


def protection_of(site: Site, name: str) -> Protection | None:
    """Return the protection of that name, None for an empty one; raises TlsError for files of no use."""
    if not name:
        return None
    return Protection(name, site.tls[name], config_folder(site))
