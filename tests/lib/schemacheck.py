# SPDX-License-Identifier: GPL-2.0-or-later
"""What of documents does not fit a published schema: run by Debian's Python, which has Debian's packages (see
schemas.py). Reads a JSON list of documents, each a text in JSON or YAML; prints a list of lines for each.

    schemacheck.py KIND FOLDER <DOCUMENTS

A key that the schema does not know is a misfit, also where the schema would let it pass.
"""

import ast
import functools
import json
import re
import sys
from pathlib import Path

import jsonschema
import yaml

# ---- JSON schemas --------------------------------------------------------------------------------

# Kind to where its schema is, and what it is written in.
WRITTEN = {
    "runtime": ("runtime-spec/schema/config-schema.json", jsonschema.Draft4Validator),
    "image-layout": ("image-spec/schema/image-layout-schema.json", jsonschema.Draft4Validator),
    "image-index": ("image-spec/schema/image-index-schema.json", jsonschema.Draft4Validator),
    "image-manifest": ("image-spec/schema/image-manifest-schema.json", jsonschema.Draft4Validator),
    "image-config": ("image-spec/schema/config-schema.json", jsonschema.Draft4Validator),
    "compose": ("schema/compose-spec.json", jsonschema.Draft201909Validator),
}


def tighten(schema):
    """Nothing but what it names is allowed; and its files are found beside it, not by the names that they give
    themselves."""
    if isinstance(schema, list):
        for part in schema:
            tighten(part)
    elif isinstance(schema, dict):
        for part in schema.values():
            tighten(part)
        if isinstance(schema.get("id"), str):
            del schema["id"]
        if isinstance(schema.get("properties"), dict) and "patternProperties" not in schema:
            schema.setdefault("additionalProperties", False)
    return schema


def schema_checker(kind, folder):
    """A function from a document to lines."""
    name, validator = WRITTEN[kind]
    path, = folder.rglob(name)
    files = {other.as_uri(): tighten(json.loads(other.read_text(encoding="utf-8")))
             for other in path.parent.glob("*.json")}
    schema = files[path.as_uri()]
    checker = validator(schema, resolver=jsonschema.RefResolver(path.as_uri(), schema, store=files))
    return lambda document: [f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
                             for error in checker.iter_errors(document)]


# ---- Kubernetes' models --------------------------------------------------------------------------

REQUIRED = re.compile(r"Invalid value for `(\w+)`, must not be `None`")
ALLOWED = re.compile(r"allowed_values = (\[.*?\])[^\n]*\n\s+if [^\n]*(?<= )(\w+) not in allowed_values", re.S)
PLAIN = {"str": str, "int": int, "bool": bool, "float": (int, float)}


class Models:
    """The classes that Kubernetes generates of its API's schema for Python, read and not run."""

    def __init__(self, folder):
        self.folder, = (path.parent for path in folder.rglob("models/v1_pod.py"))
        listed = (self.folder / "__init__.py").read_text(encoding="utf-8")
        self.files = {name: f"{module}.py" for module, name in
                      re.findall(r"^from kubernetes\.client\.models\.(\w+) import (\w+)", listed, re.M)}

    @functools.cache
    def model(self, name):
        """(the kinds of its fields, their names in documents, which must be there, what some must be)"""
        text = (self.folder / self.files[name]).read_text(encoding="utf-8")
        tables = {}
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in ("openapi_types", "attribute_map"):
                tables[node.targets[0].id] = ast.literal_eval(node.value)
        allowed = {field: ast.literal_eval(values) for values, field in ALLOWED.findall(text)}
        return tables["openapi_types"], tables["attribute_map"], set(REQUIRED.findall(text)), allowed

    def misfits(self, kind, value, where):
        listed, mapped = re.fullmatch(r"list\[(.+)\]", kind), re.fullmatch(r"dict\(str, (.+)\)", kind)
        if listed or mapped:
            wanted, parts = (list, enumerate) if listed else (dict, dict.items)
            if not isinstance(value, wanted):
                yield f"{where}: {value!r} is no {wanted.__name__}"
                return
            for key, part in parts(value):
                yield from self.misfits((listed or mapped)[1], part, f"{where}.{key}")
        elif kind in PLAIN:
            if not isinstance(value, PLAIN[kind]) or isinstance(value, bool) != (kind == "bool"):
                yield f"{where}: {value!r} is no {kind}"
        elif kind != "object":      # a number or a name, or anything at all
            yield from self.of_model(kind, value, where)

    def of_model(self, name, value, where):
        kinds, names, required, allowed = self.model(name)
        if not isinstance(value, dict):
            yield f"{where}: {value!r} is no {name}"
            return
        fields = {there: field for field, there in names.items()}
        yield from (f"{where}: {names[field]} is missing" for field in sorted(required)
                    if names[field] not in value)
        for key, part in value.items():
            if key not in fields:
                yield f"{where}: {name} has no {key}"
                continue
            yield from self.misfits(kinds[fields[key]], part, f"{where}.{key}")
            if fields[key] in allowed and part not in allowed[fields[key]]:
                yield f"{where}.{key}: {part!r} is none of {allowed[fields[key]]}"


def pod_checker(folder):
    models = Models(folder)

    def check(document):
        if (document.get("apiVersion"), document.get("kind")) != ("v1", "Pod"):
            return ["it is no v1, Pod"]
        return list(models.of_model("V1Pod", document, ""))
    return check


# ---- all of them ---------------------------------------------------------------------------------

def main():
    kind, folder = sys.argv[1], Path(sys.argv[2])
    check = pod_checker(folder) if kind == "pod" else schema_checker(kind, folder)
    # JSON is a part of YAML.
    json.dump([check(yaml.safe_load(text)) for text in json.load(sys.stdin)], sys.stdout)


if __name__ == "__main__":
    main()
