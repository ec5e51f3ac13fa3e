"""/openapi.json: well formed, the same as the routes and the table of refusals; its examples
are valid, its numbers the server's. test_openapi_walk.py holds it against every answer."""

import json
import os
import re

import jsonschema
import pytest

from support import check
from support.contract import GOOD, ORIGINAL, PROBLEM_TYPE, ROOT, SOURCE, Contract, nodes
from support.server import run


@pytest.fixture(scope="module")
def contract(shared_server):
    """What a running server tells."""
    with shared_server.client() as client:
        return Contract(check.success(client.get("/openapi.json")))


# -- the document -----------------------------------------------------------------------------


def test_it_is_the_source_with_the_programs_version(contract):
    with open(SOURCE, encoding="ascii") as file:
        source = json.load(file)
    assert source["info"]["version"] == "@VERSION@"
    source["info"]["version"] = run("version").stdout.split()[1]
    assert contract.document == source


def test_anyone_may_read_it_whatever_the_query(shared_server):
    with shared_server.client() as client:
        whole = client.get("/openapi.json")
        assert client.get("/openapi.json?x=1").body == whole.body
        head = client.call("HEAD", "/openapi.json")
        assert head.status == 200
        assert head.field("Content-Length") == str(len(whole.body)) != "0"


def test_it_is_openapi_3_1_and_every_reference_leads_somewhere(contract):
    document = contract.document
    assert re.match(r"3\.1\.\d+\Z", document["openapi"])
    assert set(document) == {"openapi", "info", "servers", "tags", "paths", "components"}
    assert {"title", "version", "license"} <= set(document["info"])
    used = set()
    for pointer, node in nodes(document):
        if isinstance(node, dict) and isinstance(node.get("$ref"), str):
            contract.at(node["$ref"])
            used.add(node["$ref"])
    for kind, components in document["components"].items():
        for name in components:
            assert kind == "securitySchemes" or "#/components/%s/%s" % (kind, name) in used, name


def test_every_operation_is_told_whole(contract):
    tags = {tag["name"] for tag in contract.document["tags"]}
    schemes = set(contract.document["components"]["securitySchemes"])
    for operation in contract.operations.values():
        node = operation.node
        assert node["summary"] and len(node["tags"]) == 1 and set(node["tags"]) <= tags
        assert {name for one in node["security"] for name in one} <= schemes
        assert "default" in operation.responses
        assert any(status.startswith("2") for status in operation.responses)
        in_path = {one["name"] for one in operation.parameters if one["in"] == "path"}
        assert in_path == set(re.findall(r"\{(\w+)\}", operation.path))
        for one in operation.parameters:
            assert one["description"] and "example" in one and "schema" in one
            assert one["in"] != "path" or one["required"]
        may_be_refused = any(operation.may(code) for code in ("unauthorized", "forbidden"))
        assert may_be_refused == bool(node["security"])
    assert tags == {node for one in contract.operations.values() for node in one.node["tags"]}


def test_every_refusal_has_an_example_for_each_code(contract):
    codes = set()
    for pointer, node in contract.document["components"]["responses"].items():
        for content in (one for name, one in node["content"].items() if name == PROBLEM_TYPE):
            schema = content["schema"]["properties"]
            examples = [contract.resolved(one)["value"] for one in content["examples"].values()]
            assert [one["code"] for one in examples] == schema["code"]["enum"], pointer
            assert list(content["examples"]) == schema["code"]["enum"], pointer
            if "status" in schema:
                assert {one["status"] for one in examples} == {schema["status"]["const"]}
            codes |= set(schema["code"]["enum"])
    problem = contract.document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]
    assert sorted(codes) == sorted(problem)
    with open(os.path.join(ROOT, "src/api/problem.c"), encoding="ascii") as file:
        table = re.findall(r"\[PROBLEM_\w+\] = \{(\d+), \"([a-z-]+)\"", file.read())
    told = {answer for operation in contract.operations.values()
            for pointer in operation.responses.values()
            for answer in contract.answers_of(pointer, "0") if answer[1]}
    assert told == {(int(status), code) for status, code in table}


def test_every_route_is_documented_and_every_path_is_routed(contract):
    with open(os.path.join(ROOT, "src/api/route.c"), encoding="ascii") as file:
        table = re.findall(r'\{HTTP_([A-Z]+), "([^"]+)", IDS_\w+,\s+ACCESS_(\w+)', file.read())
    routed = {(method, path): access for method, path, access in table}
    access = {"ANYONE": [], "ADMIN": [{"admin": []}],
              "CLAIMER": [{"claimer": []}, {"admin": []}, {}]}
    documented = {(one.method, re.sub(r"\{\w+\}", "*", one.path)): one.node["security"]
                  for one in contract.operations.values()}
    assert documented == {key: access[who] for key, who in routed.items()}
    assert set(GOOD) == set(contract.operations)


def test_schemas_are_schemas_and_examples_are_valid(contract):
    count = 0
    for pointer, node in nodes(contract.closed):
        if not isinstance(node, dict) or pointer.startswith("#/components/examples"):
            continue
        schema = node.get("schema", node if re.match(r"#/components/schemas/\w+\Z", pointer) else None)
        if schema is None:
            continue
        jsonschema.Draft202012Validator.check_schema(schema)
        examples = [node["example"]] if "example" in node else []
        if schema is node:
            examples += node.get("examples", [])
        else:
            examples += [contract.resolved(one)["value"] for one in node.get("examples", {}).values()]
        for example in examples + ([schema["default"]] if "default" in schema else []):
            contract.validate(schema, example)
            count += 1
    assert count > 80


# -- limits -----------------------------------------------------------------------------------


def test_the_numbers_of_the_queries_are_the_servers(contract, server, admin):
    coupon = check.new_coupon(admin)["id"]
    count = 0
    for operation in contract.operations.values():
        for one in operation.parameters:
            schema = one["schema"]
            if one["in"] == "query" and schema.get("type") == "integer":
                for number, status in ((schema["minimum"], 200), (schema["maximum"], 200),
                                       (schema["minimum"] - 1, 422), (schema["maximum"] + 1, 422)):
                    here = {"couponId": coupon} if "{couponId}" in operation.path else {}
                    target = operation.target(**here, **{one["name"]: number})
                    assert admin.get(target).status == status, target
                count += 1
    assert count >= 5


def edges(contract, schema):
    """Values at a schema's limits, and values just beyond them."""
    while "$ref" in schema:
        schema = contract.resolved(schema)
    within = [schema[name] for name in ("minimum", "maximum") if name in schema]
    beyond = [schema[name] + step for name, step in (("minimum", -1), ("maximum", 1))
              if name in schema and abs(schema[name]) < 2**62]  # else no integer of 64 bits
    for name, step in (("minLength", -1), ("maxLength", 1)):
        if name in schema:
            within.append("x" * schema[name])
            beyond.append("x" * (schema[name] + step))
    for name, step in (("minItems", -1), ("maxItems", 1)):
        if name in schema:
            within.append(list(range(schema[name])))
            beyond.append(list(range(schema[name] + step)))
    return within, beyond


def test_the_numbers_of_the_bodies_are_the_servers(contract, server, admin):
    """The greatest id of a coupon goes last: above it there is none."""
    coupon = check.new_coupon(admin, total=None)["id"]
    count = 0
    for name in ("changeCoupon", "claimCoupon", "claimBatch", *ORIGINAL, "createCoupon"):
        operation = contract.operations[name]
        schema = contract.resolved(operation.body["content"]["application/json"]["schema"])
        base = {"claimBatch": {}, "changeCoupon": {}}.get(name, GOOD[name][1])
        target = operation.target(**{key: coupon for key in GOOD[name][0]})
        for member in sorted(schema["properties"], key=lambda one: one == "id"):
            within, beyond = edges(contract, schema["properties"][member])
            for values, good in ((beyond, False), (within, True)):
                for value in values:
                    body = dict({key: coupon if key == "couponId" else one
                                 for key, one in base.items()}, **{member: value})
                    status = admin.call(operation.method, target, body).status
                    # no such coupon and already issued are answers to good requests
                    assert status in (200, 201, 404, 409) if good else status == 422, (name, body)
                    count += 1
    assert count >= 40
