"""The SPDX 2.3 document of scripts/sbom.sh. Standard library only.

    sbom.py ROOT PRODUCTS
"""

import datetime
import glob
import hashlib
import json
import os
import re
import subprocess
import sys

root, products = sys.argv[1:]
binary = f"{products}/winnow"

# Debian's short names of licences, and ours where they differ from SPDX's.
SPDX = {
    "bsd-2-clause": "BSD-2-Clause", "bsd-3-clause": "BSD-3-Clause", "isc": "ISC", "apache-2.0": "Apache-2.0",
    "expat": "MIT", "mit": "MIT", "zlib": "Zlib", "lgpl-2.1": "LGPL-2.1-only", "lgpl-2.1+": "LGPL-2.1-or-later",
    "lgpl-2+": "LGPL-2.0-or-later", "gpl-2+": "GPL-2.0-or-later", "gpl-2": "GPL-2.0-only",
}


def run(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def licence_of_text(text: str) -> str:
    """Of a package's licence file, by the words that only one of them has."""
    head = " ".join(text.split())
    if "Apache License" in head and "Version 2.0" in head:
        return "Apache-2.0 WITH Swift-exception" if "Runtime Library Exception" in head else "Apache-2.0"
    if "Permission is hereby granted, free of charge" in head:
        return "MIT"
    if "Redistribution and use in source and binary forms" in head:
        return "BSD-3-Clause" if "Neither the name" in head else "BSD-2-Clause"
    return "NOASSERTION"


def licence_of_folder(folder: str) -> str:
    for name in sorted(os.listdir(folder)):
        if name.upper().startswith(("LICENSE", "LICENCE", "COPYING")) and os.path.isfile(f"{folder}/{name}"):
            with open(f"{folder}/{name}", encoding="utf-8", errors="replace") as file:
                return licence_of_text(file.read())
    return "NOASSERTION"


def licence_of_debian(package: str) -> tuple[str, str]:
    """Of a package's source, as its copyright file says it in Debian's format: as SPDX, and in Debian's words."""
    try:
        with open(f"/usr/share/doc/{package}/copyright", encoding="utf-8", errors="replace") as file:
            paragraphs = re.split(r"\n\s*\n", file.read())
    except OSError:
        return "NOASSERTION", "no copyright file"
    for paragraph in paragraphs:
        found = re.search(r"^License:\s*(.+)$", paragraph, re.M)
        if found and re.search(r"^Files:\s*\*\s*$", paragraph, re.M):
            words = found.group(1).strip()
            return SPDX.get(words.lower(), "NOASSERTION"), f"Debian says of the source: {words}"
    return "NOASSERTION", f"see /usr/share/doc/{package}/copyright"


def identifier(kind: str, name: str) -> str:
    return f"SPDXRef-{kind}-{re.sub(r'[^A-Za-z0-9.-]', '-', name)}"


def package(kind: str, name: str, version: str, licence: str, location: str = "NOASSERTION", **more) -> dict:
    return {
        "SPDXID": identifier(kind, name), "name": name, "versionInfo": version, "downloadLocation": location,
        "filesAnalyzed": False, "licenseConcluded": "NOASSERTION", "licenseDeclared": licence,
        "copyrightText": "NOASSERTION", "supplier": "NOASSERTION", **more,
    }


def is_target(folder: str, module: str) -> bool:
    """Whether the module is one of the package's own: it has a folder of sources, or its manifest says so."""
    if glob.glob(f"{folder}/Sources/**/{glob.escape(module)}/", recursive=True):
        return True
    for manifest in glob.glob(f"{folder}/Package*.swift"):
        with open(manifest, encoding="utf-8") as file:
            if re.search(rf'arget\(\s*name:\s*"{re.escape(module)}"', file.read()):
                return True
    return False


def swift_packages() -> list[dict]:
    """The packages of which objects were linked."""
    with open(f"{products}/winnow.product/Objects.LinkFileList", encoding="utf-8") as file:
        modules = set(re.findall(r"/([^/\n]+)\.build/", file.read()))
    with open(f"{root}/Package.resolved", encoding="utf-8") as file:
        pins = {pin["identity"]: pin for pin in json.load(file)["pins"]}
    checkouts = {os.path.basename(path).lower(): path for path in glob.glob(f"{root}/.build/checkouts/*")}
    found, unplaced = [], set(modules)
    for name, pin in sorted(pins.items()):
        folder = checkouts.get(name)
        if folder is None:
            continue
        inside = {module for module in unplaced if is_target(folder, module)}
        unplaced -= inside
        if not inside:
            continue
        version = pin["state"].get("version") or pin["state"]["revision"]
        url = pin["location"].removesuffix(".git")
        reference = {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                     "referenceLocator": f"pkg:swift/{url.removeprefix('https://')}@{version}"}
        found.append(package("Swift", name, version, licence_of_folder(folder),
                             f"git+{url}.git@{pin['state']['revision']}", externalRefs=[reference],
                             comment="modules: " + ", ".join(sorted(inside))))
    own = {name for name in unplaced if os.path.isdir(f"{root}/Sources/{name}")}
    for module in sorted(unplaced - own):
        sys.exit(f"scripts/sbom.sh: no package is known that the module {module} is of")
    return found


def libraries() -> list[dict]:
    """What the dynamic linker finds for the binary, and what it opens by name at run time."""
    paths = set(re.findall(r"=> (/\S+)", run("ldd", binary)))
    with open(binary, "rb") as file:
        names = set(re.findall(rb"lib(?:openblas|dnnl)\.so[.0-9]*", file.read()))
    opened = run("/sbin/ldconfig", "-p")
    for name in names:
        paths |= set(re.findall(rf"^\s*{re.escape(name.decode())} .*=> (\S+)$", opened, re.M))
    debian: dict[str, list[str]] = {}
    runtime = []
    for path in sorted(paths):
        candidates = [path, os.path.realpath(path), path.removeprefix("/usr"), "/usr" + path]
        owner = None
        for candidate in candidates:
            result = subprocess.run(["dpkg", "-S", candidate], capture_output=True, text=True)
            if result.returncode == 0:
                owner = result.stdout.split(":")[0].split(",")[0]
                break
        if owner is not None:
            debian.setdefault(owner, []).append(os.path.basename(path))
        elif "swift" in path:
            runtime.append(os.path.basename(path))
        else:
            sys.exit(f"scripts/sbom.sh: no package is known that {path} is of")
    found = []
    for name, files in sorted(debian.items()):
        version = run("dpkg-query", "-W", "-f", "${Version}", name.split(":")[0])
        locator = f"pkg:deb/debian/{name}@{version.replace('+', '%2B').replace(':', '%3A').replace('~', '~')}"
        licence, words = licence_of_debian(name)
        found.append(package("Debian", name, version, licence, licenseComments=words, externalRefs=[{
            "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": locator}],
            comment="files: " + ", ".join(files)))
    if runtime:
        version = re.search(r"Swift version (\S+)", run("swift", "--version")).group(1)
        found.append(package("Runtime", "swift-runtime", version, "Apache-2.0 WITH Swift-exception",
                             "https://www.swift.org/download", comment="files: " + ", ".join(runtime)))
    return found


with open(binary, "rb") as file:
    digest = hashlib.sha256(file.read()).hexdigest()
revision = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
winnow = package("Product", "winnow", revision or "unknown", licence_of_folder(root), "NOASSERTION",
                 primaryPackagePurpose="APPLICATION", checksums=[{"algorithm": "SHA256", "checksumValue": digest}])
parts = swift_packages()
loaded = libraries()
when = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
document = {
    "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": "winnow",
    "documentNamespace": f"https://spdx.org/spdxdocs/winnow-{digest}",
    "creationInfo": {"created": when, "creators": ["Tool: winnow-sbom"]},
    "packages": [winnow, *parts, *loaded],
    "relationships": [
        {"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": winnow["SPDXID"]},
        *({"spdxElementId": winnow["SPDXID"], "relationshipType": "STATIC_LINK", "relatedSpdxElement": part["SPDXID"]}
          for part in parts),
        *({"spdxElementId": winnow["SPDXID"], "relationshipType": "DYNAMIC_LINK", "relatedSpdxElement": part["SPDXID"]}
          for part in loaded),
    ],
}
json.dump(document, sys.stdout, indent=2)
print()
