"""The contract for machines (src/api/openapi.json), held against what a server answers.

Every answer that a Walk is shown must be documented to the last member, and the Walk keeps
what it has seen, so that a test can ask at the end whether all that is documented was.
"""

import copy
import json
import os

import jsonschema

from support.wire import request_bytes

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
SOURCE = os.path.join(ROOT, "src", "api", "openapi.json")
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
# What a path or a method gets that is not in the document: no operation of it.
OF_NO_OPERATION = {"not-found", "method-not-allowed"}
# Fields of every answer, which http adds.
FIELDS_OF_HTTP = {"date", "content-type", "content-length", "connection"}
PROBLEM_TYPE = "application/problem+json"

NO_COUPON = 2**53 - 1
NEW = {"title": "A coupon", "totalQuantity": 5, "issueStart": "2026-01-01T00:00:00Z",
       "issueEnd": "2126-01-01T00:00:00Z"}
# A request of each operation that is good but for the coupon or issue, which is not there.
GOOD = {
    "listCoupons": ({}, None),
    "createCoupon": ({}, NEW),
    "getCoupon": ({"couponId": NO_COUPON}, None),
    "changeCoupon": ({"couponId": NO_COUPON}, {"paused": True}),
    "claimCoupon": ({"couponId": NO_COUPON}, {"userId": "alice"}),
    "listIssues": ({"couponId": NO_COUPON, "userId": "alice"}, None),
    "claimBatch": ({"couponId": NO_COUPON}, {"userIds": ["alice"]}),
    "getIssue": ({"issueId": "%d-1" % NO_COUPON}, None),
    "getClaim": ({"ticket": "%d.1.1.0.YWxpY2U" % NO_COUPON}, None),
    "listUserIssues": ({"userId": "nobody"}, None),
    "listAudits": ({}, None),
    "issue": ({}, {"userId": 1, "couponId": NO_COUPON}),
    "issueAsync": ({}, {"userId": 1, "couponId": NO_COUPON}),
    "issueAsyncV2": ({}, {"userId": 1, "couponId": NO_COUPON}),
    "getHealth": ({}, None),
    "getReadiness": ({}, None),
    "getMetrics": ({}, None),
    "getContract": ({}, None),
}
ORIGINAL = ("issue", "issueAsync", "issueAsyncV2")  # one call under three names


def good_bytes(operation, token, fields=(), body=None, params=None):
    """The good request, as an admin sends it; `fields` before all others."""
    known, value = GOOD[operation.id]
    fields = [*fields, ("Authorization", "Bearer " + token)]
    if value is not None:
        fields.append(("Content-Type", "application/json"))
        body = json.dumps(value).encode() if body is None else body
    target = operation.target(**(known if params is None else params))
    return request_bytes(operation.method, target, body, fields)


def nodes(node, pointer="#"):
    """All objects and arrays of a document with their JSON pointers, outer ones first."""
    yield pointer, node
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        if isinstance(value, (dict, list)):
            yield from nodes(value, "%s/%s" % (pointer, str(key).replace("~", "~0")
                                               .replace("/", "~1")))


def closed(document):
    """The same document, whose objects have no members but those that are named."""
    document = copy.deepcopy(document)
    for pointer, node in list(nodes(document)):
        is_schema = isinstance(node, dict) and node.get("type") == "object"
        if is_schema and "properties" in node and "/examples/" not in pointer:
            node.setdefault("additionalProperties", False)
    return document


class Operation:
    """One method of one path. `responses` by status as text, or "default"; all resolved."""

    def __init__(self, contract, path, method, pointer):
        self.contract = contract
        self.path = path
        self.method = method.upper()
        self.pointer = pointer
        self.node = contract.at(pointer)
        self.id = self.node["operationId"]
        shared = contract.at(pointer.rsplit("/", 1)[0]).get("parameters", [])
        self.parameters = [contract.resolved(one) for one in shared + self.node.get("parameters", [])]
        self.responses = {status: contract.follow("%s/responses/%s" % (pointer, status))
                          for status in self.node["responses"]}
        self.body = None
        if "requestBody" in self.node:
            self.body = contract.at(contract.follow(pointer + "/requestBody"))

    def response_pointer(self, status):
        return self.responses.get(str(status), self.responses["default"])

    def answers(self):
        """Every (status, code) it may answer; the code of a success is None."""
        found = set()
        for status, pointer in self.responses.items():
            for answer in self.contract.answers_of(pointer, status):
                if status != "default" or (str(answer[0]) not in self.responses and
                                           answer[1] not in OF_NO_OPERATION):
                    found.add(answer)
        return found

    def may(self, code):
        return any(code == one for _, one in self.answers())

    def target(self, **params):
        """The request's target; what the path does not name goes to the query."""
        query = {name: value for name, value in params.items() if "{%s}" % name not in self.path}
        path = self.path
        for name, value in params.items():
            path = path.replace("{%s}" % name, str(value))
        assert "{" not in path, path
        return path + ("?" if query else "") + "&".join("%s=%s" % item for item in query.items())

    def __repr__(self):
        return self.id


class Contract:
    def __init__(self, document):
        self.document = document
        self.closed = closed(document)
        self.resolver = jsonschema.RefResolver("", self.closed)
        self.operations = {}
        for path, item in document["paths"].items():
            for method in METHODS:
                if method in item:
                    pointer = "#/paths/%s/%s" % (path.replace("/", "~1"), method)
                    operation = Operation(self, path, method, pointer)
                    assert operation.id not in self.operations, "two of one operationId"
                    self.operations[operation.id] = operation

    def at(self, pointer):
        node = self.closed
        for part in pointer.split("/")[1:]:
            part = part.replace("~1", "/").replace("~0", "~")
            node = node[int(part)] if isinstance(node, list) else node[part]
        return node

    def resolved(self, node):
        return self.at(node["$ref"]) if "$ref" in node else node

    def follow(self, pointer):
        """Where a reference at this place leads to; the place itself when there is none."""
        return self.at(pointer).get("$ref", pointer)

    def answers_of(self, pointer, status):
        """(status, code) of a response: of a refusal, one for each of its examples."""
        content = self.at(pointer)["content"]
        if PROBLEM_TYPE not in content:
            return {(int(status), None)}
        examples = [self.resolved(one)["value"] for one in content[PROBLEM_TYPE]["examples"].values()]
        return {(one["status"], one["code"]) for one in examples}

    def validate(self, schema, value):
        validator = jsonschema.Draft202012Validator(schema, resolver=self.resolver)
        errors = sorted(validator.iter_errors(value), key=lambda error: list(error.path))
        assert not errors, "; ".join("%.200s of %.300r" % (error.message, error.instance)
                                     for error in errors[:3])

    def features(self, pointer, value=None, documented=False, seen=()):
        """What a schema has that an answer may show or not: members, values of an enum, types of
        several. Of `value`, or with `documented` of the schema as a whole."""
        node = self.at(pointer)
        if "$ref" in node and node["$ref"] not in seen:
            yield from self.features(node["$ref"], value, documented, (*seen, node["$ref"]))
        for one in node.get("enum", []):
            if documented or one == value:
                yield pointer, one
        if isinstance(node.get("type"), list):
            for one in node["type"]:
                if documented or jsonschema.Draft202012Validator({"type": one}).is_valid(value):
                    yield pointer, one
        for name in node.get("properties", {}):
            if documented or (isinstance(value, dict) and name in value):
                yield pointer, name
                member = None if documented else value[name]
                yield from self.features("%s/properties/%s" % (pointer, name), member, documented,
                                         seen)
        if "items" in node:
            for item in [None] if documented else value:
                yield from self.features(pointer + "/items", item, documented, seen)


class Walk:
    """Answers, each held against the contract; and what of it they have shown."""

    def __init__(self, contract):
        self.contract = contract
        self.answers = set()   # (operation's id, status, code)
        self.headers = set()   # (pointer of the response, name)
        self.features = set()  # see Contract.features
        self.scenarios = set()

    def operation(self, name):
        return self.contract.operations[name]

    def note(self, name, response, to_head=False):
        """An answer to this operation; returns it."""
        operation = self.operation(name)
        answer = (response.status, response.code if not to_head else None)
        if not to_head:
            assert answer in operation.answers(), "%s may not answer %r" % (name, response)
        self.check(operation.response_pointer(response.status), response, to_head)
        self.answers.add((name, *answer))
        return response

    def note_no_operation(self, response):
        """An answer where there is no operation."""
        assert response.code in OF_NO_OPERATION, response
        any_operation = next(iter(self.contract.operations.values()))
        self.check(any_operation.responses["default"], response)
        self.answers.add((None, response.status, response.code))
        return response

    def check(self, pointer, response, to_head=False):
        node = self.contract.at(pointer)
        self.check_headers(pointer, node.get("headers", {}), response)
        (media_type, content), = node["content"].items()
        told = response.field("Content-Type")
        assert (told.split(";")[0] if media_type.startswith("text/") else told) == media_type
        if to_head:
            return
        text = media_type.startswith("text/")
        body = response.body.decode("utf-8") if text else json.loads(response.body)
        self.contract.validate(content["schema"], body)
        if not text:
            place = "%s/content/%s/schema" % (pointer, media_type.replace("/", "~1"))
            self.features |= set(self.contract.features(place, body))
        if media_type == PROBLEM_TYPE:
            assert body["status"] == response.status

    def check_headers(self, pointer, documented, response):
        told = {name.lower(): value for name, value in response.fields}
        assert len(told) == len(response.fields), "a field twice: %r" % response
        extra = set(told) - FIELDS_OF_HTTP - {name.lower() for name in documented}
        assert not extra, "not documented: %s in %r" % (extra, response)
        for name, header in documented.items():
            header = self.contract.resolved(header)
            value = told.get(name.lower())
            assert value is not None or not header.get("required"), "no %s: %r" % (name, response)
            if value is not None:
                number = header["schema"]["type"] == "integer"
                self.contract.validate(header["schema"], int(value) if number else value)
                self.headers.add((pointer, name))

    def ask(self, client, name, value=None, status=None, code=None, params=(), **rest):
        """A call of this operation, whose answer is noted and, if named, expected."""
        operation = self.operation(name)
        target = operation.target(**dict(params))
        response = self.note(name, client.call(operation.method, target, value, **rest))
        if status is not None:
            assert (response.status, response.code) == (status, code), response
        if response.status < 300:
            self.check_request(operation, value, dict(params), rest.get("fields", ()))
        return response

    def check_request(self, operation, value, params, fields):
        """What the server took is in the document too."""
        given = {**params, **dict(fields)}
        for parameter in operation.parameters:
            if parameter["name"] in given:
                number = self.contract.resolved(parameter["schema"]).get("type") == "integer"
                one = given.pop(parameter["name"])
                self.contract.validate(parameter["schema"], int(one) if number else str(one))
            else:
                assert not parameter.get("required"), parameter["name"]
        assert not given, "not documented: %s" % given
        if value is not None:
            self.contract.validate(operation.body["content"]["application/json"]["schema"], value)

    # -- at the end ------------------------------------------------------------------

    def documented_answers(self):
        found = {(None, 404, "not-found"), (None, 405, "method-not-allowed")}
        for operation in self.contract.operations.values():
            found |= {(operation.id, *answer) for answer in operation.answers()}
        return found

    def responses(self):
        return {pointer for operation in self.contract.operations.values()
                for pointer in operation.responses.values()}

    def documented_headers(self):
        return {(pointer, name) for pointer in self.responses()
                for name in self.contract.at(pointer).get("headers", {})}

    def documented_features(self):
        found = set()
        for pointer in self.responses():
            for media_type in self.contract.at(pointer)["content"]:
                if media_type.endswith("json"):
                    place = "%s/content/%s/schema" % (pointer, media_type.replace("/", "~1"))
                    found |= set(self.contract.features(place, documented=True))
        return found
