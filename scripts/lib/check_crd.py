"""Holds manifests against a CustomResourceDefinition, strictly: a field that it does not know is an error.

    check_crd.py CRD MANIFEST...

Needs PyYAML and jsonschema. Exit status: 0 when all hold, 1 when one does not.
"""

import sys

import jsonschema
import yaml


def strict(schema: object) -> None:
    """No field beyond the named ones, at any depth."""
    if isinstance(schema, dict):
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
            for value in schema["properties"].values():
                strict(value)
        for key in ("items", "additionalProperties"):
            strict(schema.get(key))


with open(sys.argv[1], encoding="utf-8") as file:
    definition = yaml.safe_load(file)
failed = 0
for path in sys.argv[2:]:
    with open(path, encoding="utf-8") as file:
        manifest = yaml.safe_load(file)
    group, _, version = manifest["apiVersion"].partition("/")
    spec = definition["spec"]
    schemas = [each["schema"]["openAPIV3Schema"] for each in spec["versions"] if each["name"] == version]
    if group != spec["group"] or manifest["kind"] != spec["names"]["kind"] or not schemas:
        print(f"ERROR {path}: the definition is of another kind")
        failed = 1
        continue
    strict(schemas[0])
    # Every object has these; the definition leaves them open.
    schemas[0]["properties"]["metadata"] = {"type": "object", "required": ["name"]}
    for error in jsonschema.Draft7Validator(schemas[0]).iter_errors(manifest):
        print(f"ERROR {path}: {'.'.join(map(str, error.absolute_path))}: {error.message}")
        failed = 1
sys.exit(failed)
